//! What is no file of ours, or lies, is refused with an error that says what and where.

use super::*;

/// A file taken apart: its header and the tensors' bytes.
fn apart(bytes: &[u8]) -> (Value, Vec<u8>) {
    let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    (serde_json::from_slice(&bytes[8..8 + length]).unwrap(), bytes[8 + length..].to_vec())
}

/// And put together again. The manifest stands first.
fn together(header: &Value, data: &[u8]) -> Vec<u8> {
    let all = header.as_object().unwrap();
    let entry = |(name, value): (&String, &Value)| format!("{}:{value}", Value::from(name.as_str()));
    let mut entries: Vec<String> = all.iter().filter(|(name, _)| *name == "__metadata__").map(entry).collect();
    entries.extend(all.iter().filter(|(name, _)| *name != "__metadata__").map(entry));
    with_header(&format!("{{{}}}", entries.join(",")), data)
}

fn with_header(text: &str, data: &[u8]) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), data].concat()
}

pub(crate) fn small() -> Vec<u8> {
    let shape = Shape { trees: 3, depth: 3, categories: 20, linear: true, ..Shape::default() };
    written(&shape.model(&mut Random::new(5)))
}

#[track_caller]
fn refused(bytes: &[u8], expected: &str) {
    let said = read(bytes).expect_err(expected);
    assert!(said.contains(expected), "{said}");
}

#[track_caller]
fn changed(expected: &str, change: impl FnOnce(&mut Value, &mut Vec<u8>)) {
    let (mut header, mut data) = apart(&small());
    change(&mut header, &mut data);
    refused(&together(&header, &data), expected);
}

/// Changes the manifest.
#[track_caller]
fn said(expected: &str, change: impl FnOnce(&mut Value)) {
    changed(expected, |header, _| {
        let text = header["__metadata__"]["arborgate.forest"].as_str().unwrap();
        let mut manifest = serde_json::from_str(text).unwrap();
        change(&mut manifest);
        header["__metadata__"]["arborgate.forest"] = manifest.to_string().into();
    });
}

/// Where a tensor's bytes are.
fn place(header: &Value, name: &str) -> std::ops::Range<usize> {
    let at = |end: usize| usize::try_from(header[name]["data_offsets"][end].as_u64().unwrap()).unwrap();
    at(0)..at(1)
}

#[test]
fn a_header_that_lies_is_refused() {
    for (name, key, value, expected) in [
        ("split.column", "dtype", json!("F32"), "tensor `split.column`: has numbers of type F32"),
        ("leaf.value", "dtype", json!("BF16"), "tensor `leaf.value`: has numbers of type BF16"),
        ("leaf.value", "dtype", json!("X"), "tensor `leaf.value`: unknown variant `X`"),
        ("node.kind", "shape", json!([1, 2]), "tensor `node.kind`: has 2 dimensions"),
        ("node.kind", "shape", json!([]), "tensor `node.kind`: has 0 dimensions"),
        ("node.kind", "shape", json!([1]), "tensor `node.kind`: has "),
        ("leaf.value", "shape", json!([u64::MAX]), "tensor `leaf.value`: has "),
        ("leaf.value", "shape", json!([-1]), "tensor `leaf.value`: invalid value"),
        ("tree.nodes", "data_offsets", json!([0, 1_u64 << 40]), "tensor `tree.nodes`: is said to be at 0 to"),
        ("tree.nodes", "data_offsets", json!([9, 1]), "tensor `tree.nodes`: is said to be at 9 to 1"),
        ("tree.nodes", "data_offsets", json!([0]), "tensor `tree.nodes`: invalid length"),
    ] {
        changed(expected, |header, _| header[name][key] = value);
    }
    changed("overlap or leave gaps: invalid offset for tensor `", |header, _| {
        header["tree.nodes"]["data_offsets"] = json!([4, 16]);
    });
    changed("tensor `more` is not known here", |header, _| header["more"] = header["tree.nodes"].clone());
    changed("unknown field `format`", |header, _| header["__metadata__"]["format"] = "pt".into());
    changed("bytes follow the end of the last tensor", |_, data| data.push(0));
    let (header, data) = apart(&small());
    let text = String::from_utf8(together(&header, &[])[8..].to_vec()).unwrap();
    let entry = format!("\"tree.nodes\":{}", header["tree.nodes"]);
    for (again, expected) in [
        (format!("{entry},{entry}"), "`tree.nodes` stands there twice"),
        (format!("{entry},\"__metadata__\":{{\"arborgate.forest\":\"\"}}"), "`__metadata__` stands there twice"),
        (entry.replace("\"shape\"", "\"dtype\":\"U8\",\"shape\""), "tensor `tree.nodes`: duplicate field `dtype`"),
        (format!("{entry},\"deep\":{}", "[".repeat(5000)), "tensor `deep` is not known here"),
        (entry.replace("[3]", &"[".repeat(5000)), "tensor `tree.nodes`: invalid type"),
    ] {
        refused(&with_header(&text.replace(&entry, &again), &data), expected);
    }
    for length in [u64::MAX, u64::MAX - 8, 1 << 40, small().len() as u64 - 7] {
        let mut bytes = small();
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        refused(&bytes, "is longer than the file");
    }
    refused(&with_header(&text[..text.len() - 1], &data), "the header (byte ");
    let mut other = with_header("{\"__metadata__\":{\"format\":\"pt\"}}", &[]);
    refused(&other, "a safetensors file");
    other[8..].reverse();
    read(&other).unwrap_err();
}

#[test]
fn a_manifest_that_lies_is_refused() {
    said("format: is 2 and this version knows 1; read it with a newer version", |all| {
        *all = json!({"format": 2, "what": ["it", "is"]});
    });
    said("missing field `format`", |all| *all = json!({"model": {}}));
    said("missing field `task`", |all| all["model"] = json!({}));
    said("unknown field `more`", |all| all["more"] = json!(1));
    said("model.sum.more: unknown field `more`", |all| all["model"]["sum"]["more"] = json!(1));
    said("model.sum.start[0]: invalid value: string \"NaN\"", |all| all["model"]["sum"]["start"] = json!(["NaN"]));
    said("one starts from NaN", |all| all["model"]["sum"]["start"] = json!(["nan:7ff8000000000000"]));
    said("an output without classes", |all| all["model"]["classes"] = json!([[]]));
    said("outputs and classes disagree", |all| all["model"]["classes"] = json!([[{"Int": 1}]]));
    said("outputs and classes disagree", |all| all["model"]["n_outputs"] = json!(0));
    said("outputs: more than the limit", |all| all["model"]["n_outputs"] = json!(u64::MAX));
    said("invalid type", |all| all["model"]["features"] = json!({}));
    said("no features", |all| all["model"]["features"] = json!([]));
    said("tree 0: a linear leaf asks for a feature beyond 1", |all| {
        drop(all["model"]["features"].as_array_mut().unwrap().drain(1..))
    });
    changed("the manifest", |header, _| {
        header["__metadata__"]["arborgate.forest"] = format!("{{\"format\":1,\"model\":{}", "[".repeat(9999)).into();
    });
    changed("the manifest", |header, _| {
        header["__metadata__"]["arborgate.forest"] =
            format!("{{\"format\":1,\"model\":{{\"sum\":{}", "[".repeat(9999)).into();
    });
    changed("the manifest: EOF", |header, _| header["__metadata__"]["arborgate.forest"] = "".into());
}

#[test]
fn trees_that_are_none_are_refused() {
    let set = |name: &'static str, at: usize, byte: u8| {
        move |header: &mut Value, data: &mut Vec<u8>| {
            let place = place(header, name);
            data[place][at] = byte;
        }
    };
    changed("tensor `node.kind`: is 0x11 for node 0 of tree 0", set("node.kind", 0, 0x11));
    changed("tensor `tree.has`: is 0x6 for tree 0", set("tree.has", 0, 6));
    changed("tensor `tree.has`: is 0x88 for tree 0", set("tree.has", 0, 0x88));
    changed("tensor `node.cover`: ends within tree 0", set("tree.has", 0, 9));
    changed("tree 0: adds to margin 7, of 1", set("tree.target", 0, 7));
    changed("tensor `node.kind`: ends within tree 0, which needs", set("tree.nodes", 3, 0x7f));
    changed("tensor `set.size`: ends within tree", set("tree.sets", 3, 0xff));
    changed("tensor `set.category`: ends within tree", set("set.size", 3, 0xff));
    changed("tensor `term.column`: ends within tree", set("leaf.terms", 3, 0xff));
    changed("numbers more than the trees need", |header, data| {
        let last = place(header, "leaf.terms").end - 4;
        let set = |data: &mut Vec<u8>, at: usize| data[at..at + 4].fill(0);
        set(data, last);
        let first = place(header, "leaf.terms").start;
        (first..last).step_by(4).for_each(|at| set(data, at));
    });
    changed("tree 1, node 200: is a child but there are only", set("split.right", 0, 200));
    changed("has two parents, or is its own ancestor", set("split.right", 0, 0));
    changed("tensor `tree.sets`: has 0 numbers for 3 trees", |header, data| {
        let place = place(header, "tree.sets");
        data.drain(place.clone());
        let all = header.as_object_mut().unwrap();
        all.remove("tree.sets");
        for (_, info) in all.iter_mut().filter(|(name, _)| *name != "__metadata__") {
            for end in info["data_offsets"].as_array_mut().unwrap() {
                let at = end.as_u64().unwrap();
                *end = json!(if at >= place.end as u64 { at - place.len() as u64 } else { at });
            }
        }
    });
}

#[test]
fn limits_hold() {
    let read = |limits: Limits| Model::read(&small(), &limits.into()).unwrap_err().to_string();
    assert!(read(Limits { max_trees: 2, ..Limits::default() }).contains("trees: more than the limit of 2"));
    assert!(read(Limits { max_nodes: 9, ..Limits::default() }).contains("nodes of all trees"));
    assert!(read(Limits { max_depth: 1, ..Limits::default() }).contains("depth of a tree"));
    assert!(read(Limits { max_features: 1, ..Limits::default() }).contains("features"));
    assert!(read(Limits { max_bytes: 100, ..Limits::default() }).contains("bytes of the file"));
    let bytes = written(&Model::new(odd_parts()).unwrap());
    let limits = Limits { max_text: 3, ..Limits::default() };
    assert!(Model::read(&bytes, &limits.into()).unwrap_err().to_string().contains("bytes of a name"));
}

#[test]
fn a_file_that_is_cut_off_is_refused() {
    let bytes = small();
    for cut in 0..bytes.len() {
        assert!(read(&bytes[..cut]).is_err(), "{cut}");
    }
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut packed, &bytes).unwrap();
    assert!(read(&packed.finish().unwrap()).unwrap() == read(&bytes).unwrap());
}

/// A header of any length is told from a compressed stream: 0x178 bytes begin as zlib does, 0x5d as LZMA.
#[test]
fn a_header_of_any_length_is_known() {
    let (header, data) = apart(&small());
    let plain = together(&header, &data);
    let length = plain.len() - data.len() - 8;
    for padding in 0..8_192 {
        let longer = length + padding * 8;
        if !matches!(longer.to_le_bytes(), [0x78 | 0x5d, ..] | [0x04, 0x22, ..] | [0x80, ..]) {
            continue;
        }
        let mut bytes = (longer as u64).to_le_bytes().to_vec();
        bytes.extend(&plain[8..8 + length]);
        bytes.resize(8 + longer, b' ');
        bytes.extend(&data);
        read(&bytes).unwrap_or_else(|error| panic!("{longer}: {error}"));
    }
}

#[test]
fn the_crate_of_the_format_reads_what_is_written() {
    let bytes = small();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert!(tensors.names().contains(&"split.threshold"));
}
