//! Explanations as JSON: for each margin what each feature contributed to it, all of them or those that matter most.

use arborgate_contracts::registry::{Manifest, Task};

use super::{json, number};

/// What of a version's explanations is the same in each.
#[derive(Debug)]
pub(super) struct Explanation {
    /// For each feature `{"feature":"…","contribution":`.
    features: Vec<Vec<u8>>,
    about: About,
}

/// What tells margins apart.
#[derive(Debug)]
struct About {
    classifier: bool,
    outputs: usize,
    /// For each output its labels, as JSON.
    labels: Vec<Vec<Vec<u8>>>,
}

/// Whose margin one is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Margin {
    /// Which output's, where there are several.
    pub(super) output: Option<usize>,
    /// Output and class, where it is that of a class.
    pub(super) class: Option<(usize, usize)>,
    /// Which, where it is that of no output.
    pub(super) number: Option<usize>,
}

/// Which of `count` margins one is; `classes` has for each output the number of its classes.
pub(super) fn margin(at: usize, count: usize, outputs: usize, classifier: bool, classes: &[usize]) -> Margin {
    let several = |output| (outputs > 1).then_some(output);
    if classifier && count == classes.iter().sum::<usize>() {
        let mut class = at;
        for (output, classes) in classes.iter().enumerate() {
            if class < *classes {
                return Margin { output: several(output), class: Some((output, class)), number: None };
            }
            class -= classes;
        }
    }
    if count == outputs {
        // Of two classes the margin is the second's.
        let class = classes.get(at).filter(|classes| **classes == 2).map(|_| (at, 1));
        return Margin { output: several(at), class, number: None };
    }
    Margin { output: None, class: None, number: Some(at) }
}

impl About {
    /// Writes `"output":…,"label":…,` of one of `count` margins, as far as there is more than one output, and a class.
    fn write(&self, out: &mut Vec<u8>, at: usize, count: usize) {
        let classes: Vec<usize> = self.labels.iter().map(Vec::len).collect();
        let Margin { output, class, number } = margin(at, count, self.outputs, self.classifier, &classes);
        for (name, number) in [("output", output), ("margin", number)] {
            if let Some(number) = number {
                out.extend_from_slice(format!("\"{name}\":{number},").as_bytes());
            }
        }
        if let Some(label) = class.and_then(|(output, class)| self.labels.get(output)?.get(class)) {
            out.extend_from_slice(b"\"label\":");
            out.extend_from_slice(label);
            out.push(b',');
        }
    }
}

impl Explanation {
    pub(super) fn new(manifest: &Manifest) -> Self {
        let feature = |name: &str| {
            let mut start = b"{\"feature\":".to_vec();
            start.extend(json(name));
            start.extend_from_slice(b",\"contribution\":");
            start
        };
        let labels = manifest.classes.iter().map(|output| output.iter().map(|class| json(&class.label)).collect());
        Self {
            features: manifest.features.iter().map(|of| feature(&of.name)).collect(),
            about: About {
                classifier: manifest.task == Task::Classification,
                outputs: manifest.outputs as usize,
                labels: labels.collect(),
            },
        }
    }

    /// `"outputs":[…]` of a row: for each margin of `values` the features' contributions and the base.
    pub(super) fn row(&self, out: &mut Vec<u8>, values: &[f64], top_k: Option<u32>) {
        let each = self.features.len() + 1;
        let count = values.len() / each;
        out.extend_from_slice(b"\"outputs\":[");
        for (margin, values) in values.chunks_exact(each).enumerate() {
            if margin > 0 {
                out.push(b',');
            }
            out.push(b'{');
            self.about.write(out, margin, count);
            out.extend_from_slice(b"\"base\":");
            number(out, values.last().copied());
            out.extend_from_slice(b",\"contributions\":[");
            for (i, feature) in chosen(values.get(..each - 1).unwrap_or_default(), top_k).into_iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(self.features.get(feature).map_or(b"", Vec::as_slice));
                number(out, values.get(feature).copied());
                out.push(b'}');
            }
            out.extend_from_slice(b"]}");
        }
        out.push(b']');
    }
}

/// The features that are told: all in their order, or the `top_k` of the greatest contributions, the greatest first. Of
/// equals the first comes first.
pub(super) fn chosen(contributions: &[f64], top_k: Option<u32>) -> Vec<usize> {
    let mut features: Vec<usize> = (0..contributions.len()).collect();
    let Some(top_k) = top_k else { return features };
    let size = |feature: &usize| contributions.get(*feature).map_or(0.0, |x| x.abs());
    features.sort_by(|a, b| size(b).total_cmp(&size(a)));
    features.truncate(top_k as usize);
    features
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_come_first_and_equals_in_their_order() {
        let contributions = [0.5, -2.0, 0.0, 2.0, -0.5];
        assert_eq!(chosen(&contributions, None), [0, 1, 2, 3, 4]);
        assert_eq!(chosen(&contributions, Some(3)), [1, 3, 0]);
        assert_eq!(chosen(&contributions, Some(99)), [1, 3, 0, 4, 2]);
    }

    fn about(classifier: bool, outputs: usize, classes: &[&[&str]]) -> About {
        let labels = classes.iter().map(|output| output.iter().map(|label| json(*label)).collect()).collect();
        About { classifier, outputs, labels }
    }

    fn written(about: &About, count: usize) -> Vec<String> {
        let one = |margin| {
            let mut out = Vec::new();
            about.write(&mut out, margin, count);
            String::from_utf8(out).unwrap()
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn margins_are_told_apart_by_output_and_class() {
        let three = about(true, 1, &[&["a", "b", "c"]]);
        assert_eq!(written(&three, 3), [r#""label":"a","#, r#""label":"b","#, r#""label":"c","#]);
        assert_eq!(written(&about(true, 1, &[&["no", "yes"]]), 1), [r#""label":"yes","#]);
        assert_eq!(written(&about(false, 1, &[]), 1), [""]);
        assert_eq!(written(&about(false, 2, &[]), 2), [r#""output":0,"#, r#""output":1,"#]);
        let pair = about(true, 2, &[&["a", "b"], &["c", "d"]]);
        assert_eq!(written(&pair, 4)[2..], [r#""output":1,"label":"c","#, r#""output":1,"label":"d","#]);
        assert_eq!(written(&pair, 2), [r#""output":0,"label":"b","#, r#""output":1,"label":"d","#]);
        assert_eq!(written(&about(false, 1, &[]), 2), [r#""margin":0,"#, r#""margin":1,"#]);
    }
}
