//! What reading allocates, counted by the allocator itself. One test, because the count is of the process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;
#[path = "common/counting.rs"]
mod counting;

use arborgate_forest::{Compiled, Model, Options};
use common::onnx::{File, Held, Node, alone, bytes, classifier, floats, int, regressor, tensor, v5};
use counting::peak;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/sklearn/1.9.1/").to_owned() + name).unwrap()
}

fn attacks_stay_within_twenty_times_the_file() {
    let bodies: [&[u8]; 18] = [
        b"]",
        b"(",
        b"N",
        b"\x94",
        b"N\x94",
        b"N\x940",
        b"]\x940",
        b")0",
        b"}0",
        b"]0",
        b"N\x85",
        b"N\x850",
        b"]\x94(NNNNNNNNNNNNe0",
        b"C\x000",
        b"\x8c\x000",
        b"Va\\u0062\n0",
        b"V\xe9\xe9\xe9\xe9\xe9\xe9\xe9\xe9\n0",
        b"](NNNNNNNNt0",
    ];
    for body in bodies {
        let bytes = [b"\x80\x04", &body.repeat((4 << 20) / body.len())[..], b"."].concat();
        let (result, peak) = peak(|| Model::read(&bytes, &Options::default()).is_err());
        assert!(result && peak < 20 * bytes.len(), "{body:?}: {peak} bytes for {}", bytes.len());
    }
    // one list that grows and grows
    let many = [b"(", &b"N".repeat(60_000)[..], b"e"].concat();
    let bytes = [b"\x80\x04]", &many.repeat(70)[..], b"."].concat();
    let (result, peak) = peak(|| Model::read(&bytes, &Options::default()).is_err());
    assert!(result && peak < 20 * bytes.len(), "{peak} bytes for {}", bytes.len());
}

/// A few bytes that stand for many: they are kept once, if they may be kept at all.
fn bombs_take_what_is_within() {
    use std::io::Write as _;
    let within = (32 << 20) + 1;
    let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(&vec![0; within]).unwrap();
    let bomb = writer.finish().unwrap();
    for (max_bytes, most) in [(within, within + (1 << 20)), (within - 1, 1 << 20)] {
        let limits = arborgate_forest::Limits { max_bytes, ..Default::default() };
        let (result, peak) = peak(|| Model::read(&bomb, &limits.into()).is_err());
        assert!(result && peak < most, "{peak} bytes for {within}, {max_bytes} allowed");
    }
}

fn texts_stay_within_twenty_times_the_file() {
    const HEAD: &str = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=0\n\
                        feature_names=a\nfeature_infos=none\n\nTree=0\n";
    let leaf = "num_leaves=1\nnum_cat=0\nleaf_value=1\n\nend of trees\n";
    let set = format!(
        "num_leaves=2\nnum_cat=1\nleaf_value=1 2\ncat_boundaries=0 N\ncat_threshold={}\n\n",
        "4294967295 ".repeat(200_000)
    );
    let splits = 300_000;
    let numbers = |key: &str, count: usize| format!("{key}={}\n", "0 ".repeat(count));
    let children = |key: &str, of: usize| {
        let child = |split: usize| {
            if 2 * split + of < splits {
                (2 * split + of).to_string()
            } else {
                format!("-{}", 2 * split + of - splits + 1)
            }
        };
        format!("{key}={}\n", (0..splits).map(child).collect::<Vec<_>>().join(" "))
    };
    let wide = [
        format!("num_leaves={}\nnum_cat=0\n", splits + 1),
        ["split_feature", "threshold", "decision_type", "split_gain", "internal_count"]
            .map(|key| numbers(key, splits))
            .concat(),
        ["leaf_value", "leaf_count", "leaf_const", "num_features"].map(|key| numbers(key, splits + 1)).concat(),
        children("left_child", 1) + &children("right_child", 2),
        "is_linear=1\nleaf_features=\nleaf_coeff=\n\nend of trees\n".to_owned(),
    ];
    for (body, reads) in [
        (set.replace('N', "200000"), false),
        (wide.concat(), true),
        (format!("{leaf}pandas_categorical:[[{}1]]\n", "1,".repeat(2 << 20)), false),
        (format!("{leaf}pandas_categorical:[{}[]]\n", "[],".repeat(2 << 20)), true),
        (format!("{leaf}pandas_categorical:[[{}\"\"]]\n", "\"\",".repeat(2 << 20)), false),
        (format!("{leaf}{}", "more:\n".repeat(2 << 20)), false),
    ] {
        let bytes = format!("{HEAD}{body}").into_bytes();
        let (result, peak) = peak(|| Model::read(&bytes, &Options::default()));
        assert_eq!(result.is_ok(), reads, "{:?}", result.err());
        assert!(peak < 20 * bytes.len(), "{}: {peak} bytes for {}", &body[..200], bytes.len());
    }
}

/// JSON in which a few bytes stand for much.
fn catboost_stays_within_twenty_times_the_file() {
    let split = r#"{"split_type":"FloatFeature","split_index":0,"float_feature_index":0,"border":0}"#;
    let file = |trees: &str, borders: &str, more: &str| {
        let start = r#"{"model_info":{"params":{"loss_function":{"type":"RMSE"}}"#;
        let feature =
            r#"{"feature_index":0,"flat_feature_index":0,"has_nans":false,"nan_value_treatment":"AsIs","borders"#;
        format!(r#"{start}{more}}},"features_info":{{"float_features":[{feature}":[0{borders}]}}]}},{trees}}}"#)
    };
    let tree = |depth: usize, leaf: [&str; 2], weight: &str| {
        let splits = vec![split; depth].join(",");
        let leaves: Vec<_> = (0..1_usize << depth).map(|at| leaf[at % 2]).collect();
        let weights = if weight.is_empty() { Vec::new() } else { vec![weight; 1 << depth] };
        format!(
            r#"{{"leaf_values":[{}],"leaf_weights":[{}],"splits":[{splits}]}}"#,
            leaves.join(","),
            weights.join(",")
        )
    };
    let oblivious = |trees: Vec<String>| format!(r#""oblivious_trees":[{}]"#, trees.join(","));
    let nested = |node: &str, count: usize| format!(r#""trees":[{}]"#, vec![node; count].join(","));
    let forks = format!(r#"{{"left":{{"value":0}},"right":{{"value":1}},"split":{split}}}"#);
    let many = |item: &str| format!(",{item}").repeat((1 << 20) / (item.len() + 1));
    let cases = [
        file(&oblivious(vec![tree(18, ["0", "1"], "")]), "", ""),
        file(&oblivious(vec![tree(18, ["0", "0"], "0")]), "", ""),
        file(&oblivious(vec![tree(18, ["0.1", "1.5"], "10")]), "", ""),
        file(&oblivious(vec![tree(16, ["0.25", "1.75"], "2.25"); 8]), "", ""),
        file(&oblivious(vec![tree(8, ["0", "1"], ""); 1000]), "", ""),
        file(&oblivious(vec![tree(0, ["0", "1"], ""); 20_000]), "", ""),
        file(&nested(r#"{"value":0}"#, 90_000), "", ""),
        file(&nested(&forks, 9_000), "", ""),
        file(&nested(&format!(r#"{{"value":[0{}]}}"#, many("0")), 1), "", ""),
        file(&oblivious(Vec::new()), &many("0"), ""),
        file(&format!(r#"{},"scale_and_bias":[1,[0{}]]"#, oblivious(Vec::new()), many("0")), "", ""),
        file(&oblivious(Vec::new()), "", &format!(r#","class_params":{{"class_names":[0{}]}}"#, many("0"))),
        file(&oblivious(Vec::new()), "", &format!(r#","class_params":{{"class_names":["a"{}]}}"#, many("\"\""))),
        file(&oblivious(Vec::new()), "", &format!(r#","more":[0{}]"#, many("[[{}]]"))),
    ];
    for (number, text) in cases.iter().enumerate() {
        let (result, peak) = peak(|| Model::read(text.as_bytes(), &Options::default()));
        let bound = 20 * text.len() + 65_536;
        assert!(peak < bound, "{number}: {peak} bytes for {}: {:?}", text.len(), result.map(|model| model.n_nodes()));
    }
}

/// Messages in which a few bytes stand for much.
fn onnx_stays_within_twenty_times_the_file() {
    let big = 1 << 20;
    let mut forest = File::new(Vec::new(), &["y"]);
    let model = |graph: Vec<u8>| {
        [vec![0x08, 8], bytes(8, &[bytes(1, b"ai.onnx.ml"), int(2, 3)].concat()), bytes(7, &graph)].concat()
    };
    // packed whole numbers of one byte, and the shortest modes
    let packed = |values: Vec<u8>| Held::Raw(bytes(8, &values));
    let leaves = big / 16;
    let zeros = || packed(vec![0; leaves]);
    let ids = || Held::Ints((0..leaves as i64).collect());
    let trees = Node::new("TreeEnsembleRegressor", "ai.onnx.ml", &["x"], &["y"])
        .with("nodes_treeids", ids())
        .with("nodes_nodeids", zeros())
        .with("nodes_featureids", zeros())
        .with("nodes_modes", Held::Texts(vec!["LEAF"; leaves]))
        .with("nodes_values", Held::Floats(vec![0.; leaves]))
        .with("nodes_truenodeids", zeros())
        .with("nodes_falsenodeids", zeros())
        .with("target_treeids", ids())
        .with("target_nodeids", zeros())
        .with("target_ids", zeros())
        .with("target_weights", Held::Floats(vec![1.; leaves]))
        .with("n_targets", Held::Int(1000));
    forest.nodes = vec![trees.clone()];
    // one leaf a tree, alone with its target, and each with weights for two of many
    let spread = trees
        .with("target_treeids", Held::Ints((0..leaves as i64).map(|at| at / 2).collect()))
        .with("target_ids", Held::Ints((0..leaves as i64).map(|at| at % 2).collect()));
    let texts = classifier().with("classlabels_int64s", Held::Raw(bytes(9, b"").repeat(big)));
    let cases = [
        model(bytes(1, &[]).repeat(big)),
        model(bytes(1, &bytes(4, b"")).repeat(big)),
        model(bytes(5, &[]).repeat(big)),
        model(bytes(11, &[]).repeat(big)),
        model(bytes(12, &bytes(1, b"")).repeat(big)),
        model(bytes(1, &[bytes(4, b"Concat"), bytes(1, b"").repeat(big)].concat())),
        model(bytes(1, &[bytes(4, b"Concat"), bytes(5, &bytes(1, b"a")).repeat(big)].concat())),
        [vec![0x08, 8], bytes(8, &[]).repeat(big)].concat(),
        forest.write(),
        alone(spread).write(),
        alone(texts).write(),
        alone(regressor().with("nodes_nodeids", packed(vec![0; big]))).write(),
        alone(regressor().with("nodes_values_as_tensor", Held::Tensor(tensor("v", 1, &[1 << 40], &[])))).write(),
        alone(v5().with("membership_values", Held::Tensor(floats("m", &vec![1.0; big])))).write(),
        alone(v5().with("nodes_modes", Held::Tensor(tensor("m", 2, &[big as i64], &vec![0; big])))).write(),
    ];
    for (number, file) in cases.iter().enumerate() {
        let (result, peak) = peak(|| Model::read(file, &Options::default()));
        let bound = 20 * file.len() + 65_536;
        assert!(peak < bound, "{number}: {peak} bytes for {}: {:?}", file.len(), result.map(|model| model.n_nodes()));
    }
}

/// XGBoost's JSON, with as much as the format allows of what takes little room there and much in memory.
fn crowded_xgboost_stays_within_twenty_times_the_file() {
    let file = |names: &str, kinds: &str, cats: &str, trees: &str, count: usize| {
        let zeros = vec!["0"; count].join(",");
        format!(
            "{{\"learner\":{{\"attributes\":{{}},\"feature_names\":[{names}],\"feature_types\":[{kinds}],\"gradient_booster\":\
             {{\"model\":{{\"cats\":{{\"enc\":[{cats}],\"feature_segments\":[],\"sorted_idx\":[]}},\"trees\":[{trees}],\
             \"tree_info\":[{zeros}]}},\"name\":\"gbtree\"}},\"learner_model_param\":{{\"base_score\":\"0\",\
             \"num_class\":\"0\",\"num_feature\":\"100000\"}},\"objective\":{{\"name\":\"reg:squarederror\"}}}},\
             \"version\":[3,2,0]}}"
        )
    };
    let tree = |splits: usize| {
        let nodes = 2 * splits + 1;
        let list =
            |number: &dyn Fn(usize) -> i64| (0..nodes).map(|at| number(at).to_string()).collect::<Vec<_>>().join(",");
        let child = |at: usize, side: usize| if at < splits { i64::try_from(2 * at + side).unwrap() } else { -1 };
        let zeros = list(&|_| 0);
        format!(
            "{{\"left_children\":[{}],\"right_children\":[{}],\"split_indices\":[{zeros}],\"split_conditions\":[{zeros}],\
             \"default_left\":[{zeros}],\"loss_changes\":[{zeros}],\"sum_hessian\":[{zeros}],\
             \"tree_param\":{{\"num_nodes\":\"{nodes}\"}}}}",
            list(&|at| child(at, 1)),
            list(&|at| child(at, 2)),
        )
    };
    let list = |count: usize, element: &dyn Fn(usize) -> String| (0..count).map(element).collect::<Vec<_>>().join(",");
    let names = list(100_000, &|at| format!("\"{at:x}\""));
    let kinds = list(100_000, &|_| "\"\"".to_owned());
    let texts = {
        let (offsets, values) = (list(200_001, &|at| at.to_string()), list(200_000, &|_| "97".to_owned()));
        format!("{{\"offsets\":[{offsets}],\"values\":[{values}]}}")
    };
    let integers = format!("{{\"type\":15,\"values\":[{}]}}", list(200_000, &|at| at.to_string()));
    let cats = |one: &str| format!("{one},{}", list(99_999, &|_| "{\"type\":15,\"values\":[]}".to_owned()));
    let cases = [
        ("features", file(&names, &kinds, "", &tree(1), 1)),
        ("texts", file(&names, &kinds, &cats(&texts), &tree(1), 1)),
        ("integers", file(&names, &kinds, &cats(&integers), &tree(1), 1)),
        ("small trees", file(&names, &kinds, "", &vec![tree(0); 20_000].join(","), 20_000)),
        ("trees", file(&names, &kinds, "", &vec![tree(1); 20_000].join(","), 20_000)),
        ("one tree", file(&names, &kinds, "", &tree(200_000), 1)),
    ];
    for (what, bytes) in cases {
        let (result, peak) = peak(|| Model::read(bytes.as_bytes(), &Options::default()).map(drop));
        result.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(peak < 20 * bytes.len(), "{what}: {peak} bytes for {}", bytes.len());
    }
}

/// Our own files in which a few bytes stand for much: tensors of `bytes` as they are, each with its type and numbers.
fn own_files_stay_within_twenty_times_the_file() {
    let own = |change: &dyn Fn(&str) -> String, tensors: &[(&str, &str, usize, &[u8])]| {
        let manifest = concat!(
            r#"{"format":1,"model":{"task":"Regression","features":[{"name":null,"kind":"Number","missing_allowed":true}],"#,
            r#""input":{"precision":"Single","infinite_allowed":true,"category":"Whole"},"columns":[],"n_outputs":1,"#,
            r#""classes":[],"sum":{"combine":"Add","precision":"Single","start":[0.0],"finish":"Nothing"},"#,
            r#""link":"Identity","decision":"None","source":{"library":"","version":"","class":""}}}"#
        );
        let text = serde_json::Value::from(change(manifest));
        let (mut header, mut data) = (format!(r#"{{"__metadata__":{{"arborgate.forest":{text}}}"#), Vec::new());
        for (name, kind, count, bytes) in tensors {
            let (start, end) = (data.len(), data.len() + bytes.len());
            header += &format!(r#","{name}":{{"dtype":"{kind}","shape":[{count}],"data_offsets":[{start},{end}]}}"#);
            data.extend(*bytes);
        }
        header.push('}');
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
    };
    let same = |manifest: &str| manifest.to_owned();
    let n = 1 << 16;
    let words = |word: u32, count: usize| word.to_le_bytes().repeat(count);
    let (one, zero) = (words(1, n), words(0, n));
    let leaf = |has: u8| {
        move |more: &[(&'static str, &'static str, usize, &[u8])]| {
            let tree = [
                ("tree.nodes", "U32", n, &words(1, n)[..]),
                ("tree.sets", "U32", n, &words(0, n)),
                ("tree.target", "U32", n, &words(0, n)),
                ("tree.has", "U8", n, &vec![has; n]),
                ("node.kind", "U8", n, &vec![0; n]),
                ("leaf.value", "U16", n, &vec![0; 2 * n]),
            ];
            own(&same, &[&tree[..], more].concat())
        }
    };
    let cover = ("node.cover", "U16", n, &zero[..2 * n]);
    let linear = [("leaf.constant", "U16", n, &zero[..2 * n]), ("leaf.terms", "U32", n, &zero[..])];
    // one tree: a chain of splits, whose left child is the next node and whose right child is a leaf in the end
    let chain = |has: u8, more: &[(&str, &str, usize, &[u8])]| {
        let splits = 3_000;
        let kinds: Vec<u8> = (0..=2 * splits).map(|at| u8::from(at < splits)).collect();
        let right: Vec<u8> = (0..splits).flat_map(|at| u16::try_from(2 * splits - at).unwrap().to_le_bytes()).collect();
        let nodes = u32::try_from(kinds.len()).unwrap().to_le_bytes();
        let tree = [
            ("tree.nodes", "U32", 1, &nodes[..]),
            ("tree.sets", "U32", 1, &zero[..4]),
            ("tree.target", "U32", 1, &zero[..4]),
            ("tree.has", "U8", 1, &[has][..]),
            ("node.kind", "U8", kinds.len(), &kinds),
            ("split.column", "U8", splits, &zero[..splits]),
            ("split.right", "U16", splits, &right),
            ("split.threshold", "U16", splits, &zero[..2 * splits]),
            ("leaf.value", "U16", splits + 1, &zero[..2 * splits + 2]),
        ];
        own(&same, &[&tree[..], more].concat())
    };
    let nodes = 6_001;
    let statistics = [("node.cover", "U16", nodes, &zero[..2 * nodes]), ("node.gain", "U16", 3_000, &zero[..6_000])];
    let sets = |sizes: &[u8], categories: usize| {
        let count = sizes.len() / 4;
        let bytes = u32::try_from(count).unwrap().to_le_bytes();
        own(
            &same,
            &[
                ("tree.nodes", "U32", 1, &one[..4]),
                ("tree.sets", "U32", 1, &bytes),
                ("tree.target", "U32", 1, &zero[..4]),
                ("tree.has", "U8", 1, &[0]),
                ("node.kind", "U8", 1, &[0]),
                ("leaf.value", "U16", 1, &[0, 0]),
                ("set.size", "U32", count, sizes),
                ("set.category", "U8", categories, &vec![0; categories]),
            ],
        )
    };
    let many = |from: &str, item: &str| {
        let list = format!("[{}]", vec![item; (1 << 20) / (item.len() + 1)].join(","));
        own(&|manifest: &str| manifest.replace(from, &from.replace("[]", &list).replace("[0.0]", &list)), &[])
    };
    let steps = format!(r#""columns":[{{"feature":0,"steps":[{}]}}]"#, vec![r#""Widen""#; 1 << 17].join(","));
    let cases = [
        (leaf(0)(&[]), true),
        (leaf(1)(&[cover]), true),
        (leaf(3)(&[cover]), true),
        (leaf(11)(&[&[cover][..], &linear].concat()), true),
        (own(&same, &[("tree.nodes", "U32", n, &one)]), false),
        (
            own(
                &same,
                &[
                    ("tree.nodes", "U32", n, &one),
                    ("tree.sets", "U32", n, &zero),
                    ("tree.target", "U32", n, &zero),
                    ("tree.has", "U8", n, &zero[..n]),
                ],
            ),
            false,
        ),
        (chain(0, &[]), true),
        (chain(3, &statistics), true),
        (sets(&zero, 0), true),
        (sets(&one, n), true),
        (many(r#""columns":[]"#, r#"{"feature":0,"steps":[]}"#), true),
        (many(r#""columns":[]"#, r#"{"feature":0,"steps":[{"Add":0}]}"#), true),
        (own(&|manifest: &str| manifest.replace(r#""columns":[]"#, &steps), &[]), true),
        (many(r#""start":[0.0]"#, "0"), false),
        (many(r#""classes":[]"#, "[]"), false),
        (many(r#""classes":[]"#, r#"[{"Int":0}]"#), false),
        (many(r#""columns":[]"#, "[[[]]]"), false),
        (own(&same, &[]).repeat(3), false),
    ];
    for (number, (bytes, reads)) in cases.iter().enumerate() {
        let (result, peak) = peak(|| Model::read(bytes, &Options::default()));
        assert_eq!(result.is_ok(), *reads, "{number}: {:?}", result.err());
        assert!(peak < 20 * bytes.len(), "{number}: {peak} bytes for {}: {:?}", bytes.len(), result.err());
    }
}

fn models_take_little_more_than_their_file() {
    for name in ["rf_iris.joblib", "rf_iris_pair.joblib", "ext_diabetes_random_state.joblib", "dt_one_class.joblib"] {
        let bytes = fixture(name);
        let (model, peak) = peak(|| Compiled::new(&Model::read(&bytes, &Options::default()).unwrap()).unwrap());
        assert!(
            peak < 8 * bytes.len() + 16_384 && model.bytes() < bytes.len() + 4_096,
            "{name}: {peak} bytes for {}",
            bytes.len()
        );
    }
}

#[test]
fn memory_is_bounded() {
    attacks_stay_within_twenty_times_the_file();
    bombs_take_what_is_within();
    texts_stay_within_twenty_times_the_file();
    catboost_stays_within_twenty_times_the_file();
    onnx_stays_within_twenty_times_the_file();
    crowded_xgboost_stays_within_twenty_times_the_file();
    own_files_stay_within_twenty_times_the_file();
    models_take_little_more_than_their_file();
}
