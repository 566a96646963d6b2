//! Writes pickles that Python would not, to see them refused: values of Python as protocol 2, and a decision tree made of
//! them in which everything can be changed.
#![allow(dead_code, unreachable_pub)]

/// A value of Python.
#[derive(Debug, Clone)]
pub enum Py {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    Bytes(Vec<u8>),
    Tuple(Vec<Py>),
    List(Vec<Py>),
    Dict(Vec<(Py, Py)>),
    Global(&'static str, &'static str),
    Reduce(Box<Py>, Box<Py>),
    NewObj(Box<Py>),
    Build(Box<Py>, Box<Py>),
    /// Written once, then referred to by its number; numbers count from 0 in order of appearance.
    Shared(usize, Box<Py>),
}

pub fn text(text: &str) -> Py {
    Py::Str(text.to_owned())
}

pub fn dict(entries: &[(&str, Py)]) -> Py {
    Py::Dict(entries.iter().map(|(key, value)| (text(key), value.clone())).collect())
}

pub fn reduce(function: Py, args: Vec<Py>) -> Py {
    Py::Reduce(Box::new(function), Box::new(Py::Tuple(args)))
}

pub fn build(object: Py, state: Py) -> Py {
    Py::Build(Box::new(object), Box::new(state))
}

/// The whole file.
pub fn pickle(value: &Py) -> Vec<u8> {
    let mut out = vec![0x80, 2];
    write(value, &mut out, &mut 0);
    out.push(b'.');
    out
}

fn write(value: &Py, out: &mut Vec<u8>, shared: &mut usize) {
    let counted = |opcode: u8, bytes: &[u8], out: &mut Vec<u8>| {
        out.push(opcode);
        out.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
        out.extend(bytes);
    };
    match value {
        Py::None => out.push(b'N'),
        Py::Bool(value) => out.push(if *value { 0x88 } else { 0x89 }),
        Py::Int(value) => {
            out.extend([0x8a, 8]);
            out.extend(value.to_le_bytes());
        }
        Py::Float(value) => {
            out.push(b'G');
            out.extend(value.to_be_bytes());
        }
        Py::Str(text) => counted(b'X', text.as_bytes(), out),
        Py::Bytes(bytes) => counted(b'B', bytes, out),
        Py::Tuple(values) => {
            out.push(b'(');
            values.iter().for_each(|value| write(value, out, shared));
            out.push(b't');
        }
        Py::List(values) => {
            out.extend(b"](");
            values.iter().for_each(|value| write(value, out, shared));
            out.push(b'e');
        }
        Py::Dict(entries) => {
            out.extend(b"}(");
            for (key, value) in entries {
                write(key, out, shared);
                write(value, out, shared);
            }
            out.push(b'u');
        }
        Py::Global(module, name) => out.extend(format!("c{module}\n{name}\n").bytes()),
        Py::Reduce(function, args) => {
            write(function, out, shared);
            write(args, out, shared);
            out.push(b'R');
        }
        Py::NewObj(class) => {
            write(class, out, shared);
            out.extend(b")\x81");
        }
        Py::Build(object, state) => {
            write(object, out, shared);
            write(state, out, shared);
            out.push(b'b');
        }
        Py::Shared(number, value) => {
            if *number < *shared {
                out.extend([b'h', u8::try_from(*number).unwrap()]);
            } else {
                write(value, out, shared);
                assert_eq!(*number, *shared);
                out.extend([b'q', u8::try_from(*number).unwrap()]);
                *shared += 1;
            }
        }
    }
}

pub fn dtype(name: &str, order: &str) -> Py {
    let plain = reduce(Py::Global("numpy", "dtype"), vec![text(name), Py::Bool(false), Py::Bool(true)]);
    let state = [Py::Int(3), text(order), Py::None, Py::None, Py::None, Py::Int(-1), Py::Int(-1), Py::Int(0)];
    build(plain, Py::Tuple(state.to_vec()))
}

pub fn array(dtype: Py, shape: &[i64], fortran: bool, data: Py) -> Py {
    let empty = vec![Py::Global("numpy", "ndarray"), Py::Tuple(vec![Py::Int(0)]), Py::Bytes(b"b".to_vec())];
    let empty = reduce(Py::Global("numpy.core.multiarray", "_reconstruct"), empty);
    let shape = Py::Tuple(shape.iter().map(|side| Py::Int(*side)).collect());
    build(empty, Py::Tuple(vec![Py::Int(1), shape, dtype, Py::Bool(fortran), data]))
}

pub fn ints(values: &[i64]) -> Py {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    array(dtype("i8", "<"), &[i64::try_from(values.len()).unwrap()], false, Py::Bytes(bytes))
}

/// One node: left, right, feature, threshold.
pub type Node = (i64, i64, i64, f64);

/// A DecisionTreeClassifier of scikit-learn 1.9.1 over two features and three classes, with all that a test changes.
#[derive(Debug, Clone)]
pub struct Spec {
    pub nodes: Vec<Node>,
    pub values: Vec<f64>,
    pub values_shape: Vec<i64>,
    pub node_count: i64,
    pub n_classes: i64,
    pub tree_n_features: i64,
    pub version: &'static str,
    pub classes: Py,
    pub big_endian: bool,
    /// Name, format, offset.
    pub fields: Vec<(&'static str, &'static str, i64)>,
    pub record: i64,
    pub extra: Vec<(&'static str, Py)>,
    pub without: &'static str,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            nodes: vec![(1, 2, 0, 0.5), (-1, -1, -2, -2.0), (3, 4, 1, -1.5), (-1, -1, -2, -2.0), (-1, -1, -2, -2.0)],
            values: vec![0.5, 0.25, 0.25, 1.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.0, 1.0, 0.0, 0.0, 0.25, 0.75],
            values_shape: vec![5, 1, 3],
            node_count: 5,
            n_classes: 3,
            tree_n_features: 2,
            version: "1.9.1",
            classes: ints(&[10, 20, 30]),
            big_endian: false,
            fields: vec![
                ("left_child", "i8", 0),
                ("right_child", "i8", 8),
                ("feature", "i8", 16),
                ("threshold", "f8", 24),
                ("impurity", "f8", 32),
                ("n_node_samples", "i8", 40),
                ("weighted_n_node_samples", "f8", 48),
                ("missing_go_to_left", "u1", 56),
            ],
            record: 64,
            extra: Vec::new(),
            without: "",
        }
    }
}

impl Spec {
    pub fn pickle(&self) -> Vec<u8> {
        pickle(&self.estimator())
    }

    pub fn estimator(&self) -> Py {
        let entries = [
            ("criterion", text("gini")),
            ("splitter", text("best")),
            ("monotonic_cst", Py::None),
            ("n_features_in_", Py::Int(2)),
            ("n_outputs_", Py::Int(1)),
            ("classes_", self.classes.clone()),
            ("n_classes_", Py::Int(3)),
            ("tree_", self.tree()),
            ("_sklearn_version", text(self.version)),
        ];
        let entries: Vec<_> =
            entries.into_iter().filter(|(name, _)| *name != self.without).chain(self.extra.clone()).collect();
        let class = Py::Global("sklearn.tree._classes", "DecisionTreeClassifier");
        build(Py::NewObj(Box::new(class)), dict(&entries))
    }

    pub fn tree(&self) -> Py {
        let args = vec![Py::Int(self.tree_n_features), ints(&[self.n_classes]), Py::Int(1)];
        let tree = reduce(Py::Global("sklearn.tree._tree", "Tree"), args);
        let state = dict(&[
            ("max_depth", Py::Int(2)),
            ("node_count", Py::Int(self.node_count)),
            ("nodes", self.nodes()),
            ("values", self.values()),
        ]);
        build(tree, state)
    }

    fn order(&self) -> &'static str {
        if self.big_endian { ">" } else { "<" }
    }

    fn float(&self, value: f64) -> [u8; 8] {
        if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    pub fn values(&self) -> Py {
        let bytes = self.values.iter().flat_map(|value| self.float(*value)).collect();
        array(dtype("f8", self.order()), &self.values_shape, false, Py::Bytes(bytes))
    }

    pub fn nodes(&self) -> Py {
        let names = self.fields.iter().map(|(name, ..)| text(name)).collect();
        let field = |(name, format, offset): &(&str, &str, i64)| {
            (
                text(name),
                Py::Tuple(vec![dtype(format, if *format == "u1" { "|" } else { self.order() }), Py::Int(*offset)]),
            )
        };
        let plain = text(&format!("V{}", self.record));
        let plain = reduce(Py::Global("numpy", "dtype"), vec![plain, Py::Bool(false), Py::Bool(true)]);
        let fields = Py::Dict(self.fields.iter().map(field).collect());
        let sizes = [Py::Int(self.record), Py::Int(8), Py::Int(16)];
        let mut state = vec![Py::Int(3), text("|"), Py::None, Py::Tuple(names), fields];
        state.extend(sizes);
        let bytes: Vec<u8> = self.nodes.iter().flat_map(|node| self.record_of(node)).collect();
        let count = i64::try_from(self.nodes.len()).unwrap();
        array(build(plain, Py::Tuple(state)), &[count], false, Py::Bytes(bytes))
    }

    fn record_of(&self, (left, right, feature, threshold): &Node) -> Vec<u8> {
        let mut record = vec![0; usize::try_from(self.record).unwrap()];
        for (name, format, offset) in &self.fields {
            let int = |value: i64| match (*format, self.big_endian) {
                ("i4", false) => i32::try_from(value).unwrap().to_le_bytes().to_vec(),
                ("i4", true) => i32::try_from(value).unwrap().to_be_bytes().to_vec(),
                (_, false) => value.to_le_bytes().to_vec(),
                (_, true) => value.to_be_bytes().to_vec(),
            };
            let bytes = match *name {
                "left_child" => int(*left),
                "right_child" => int(*right),
                "feature" => int(*feature),
                "threshold" => self.float(*threshold).to_vec(),
                _ => continue,
            };
            let at = usize::try_from(*offset).unwrap();
            record[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        record
    }
}
