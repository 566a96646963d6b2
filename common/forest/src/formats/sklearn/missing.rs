//! Which estimators take NaN when they predict: `_support_missing_values` and the tags behind it, version by version, from
//! scikit-learn's `tree/_classes.py` and `ensemble/_forest.py` (1.3.0 to 1.9.1).

use super::version::Version;

/// What the answer depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'t> {
    pub(super) version: Version,
    /// In a forest: of its first tree.
    pub(super) in_forest: bool,
    /// An `ExtraTree`, not a `DecisionTree`.
    pub(super) extra: bool,
    pub(super) classifier: bool,
    pub(super) splitter: &'t str,
    pub(super) criterion: &'t str,
    /// Whether `monotonic_cst` is given.
    pub(super) monotonic: bool,
}

/// Whether NaN is a value.
pub(super) fn allowed(of: Question<'_>) -> bool {
    let criterion = if of.classifier {
        matches!(of.criterion, "gini" | "log_loss" | "entropy")
    } else {
        matches!(of.criterion, "squared_error" | "friedman_mse" | "poisson")
    };
    let either = matches!(of.splitter, "best" | "random");
    match of.version.minor {
        0..=2 => false,
        3 => !of.in_forest && criterion && of.splitter == "best",
        4 | 5 => criterion && of.splitter == "best" && !of.monotonic,
        // in 1.6 the tag of ExtraTreeRegressor is a slip (`:` for `=`), so that the parent's holds
        6 if of.extra && !of.classifier => criterion && either && !of.monotonic,
        6..=8 => criterion && !of.monotonic && if of.extra { of.splitter == "random" } else { either },
        _ => !of.extra || of.splitter == "random",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each version itself did with a row of NaN: see `tests/fixtures/make_sklearn.py`.
    #[test]
    fn agrees_with_every_version() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sklearn");
        let mut asked = 0;
        for version in
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())
        {
            for line in std::fs::read_to_string(version.join("missing.tsv")).unwrap().lines() {
                let [version, class, criterion, splitter, monotonic, alone, forest] =
                    line.split('\t').collect::<Vec<_>>()[..]
                else {
                    panic!("{line}");
                };
                for (in_forest, expected) in [(false, alone), (true, forest)] {
                    let question = Question {
                        version: Version::parse(version, "").unwrap(),
                        in_forest,
                        extra: class.starts_with("Extra"),
                        classifier: class.ends_with("Classifier"),
                        splitter,
                        criterion,
                        monotonic: monotonic == "true",
                    };
                    assert_eq!(allowed(question), expected == "nan", "{line}, in a forest: {in_forest}");
                    asked += 1;
                }
            }
        }
        assert!(asked > 400, "{asked}");
    }

    #[test]
    fn follows_each_version() {
        let question = |minor| Question {
            version: Version { minor },
            in_forest: false,
            extra: false,
            classifier: true,
            splitter: "best",
            criterion: "gini",
            monotonic: false,
        };
        let by_version = |change: fn(&mut Question<'_>)| -> Vec<u32> {
            let ask = |minor| {
                let mut question = question(minor);
                change(&mut question);
                allowed(question)
            };
            (1..=9).filter(|minor| ask(*minor)).collect()
        };
        assert_eq!(by_version(|_| {}), [3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(by_version(|q| q.in_forest = true), [4, 5, 6, 7, 8, 9]);
        assert_eq!(by_version(|q| q.splitter = "random"), [6, 7, 8, 9]);
        assert_eq!(by_version(|q| q.monotonic = true), [3, 9]);
        assert_eq!(by_version(|q| (q.extra, q.splitter) = (true, "random")), [6, 7, 8, 9]);
        assert_eq!(by_version(|q| q.extra = true), [3, 4, 5]);
        assert_eq!(by_version(|q| (q.classifier, q.criterion) = (false, "absolute_error")), [9]);
        assert_eq!(by_version(|q| (q.classifier, q.criterion, q.extra) = (false, "poisson", true)), [3, 4, 5, 6]);
    }
}
