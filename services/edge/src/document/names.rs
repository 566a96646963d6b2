//! Identifiers for generated clients: of models, features and classes, whatever their names are. Each differs from all
//! others also where a generator writes it in another case, and leads back to its name: the document has both.
//!
//! | name | identifier | |
//! |---|---|---|
//! | `sepal_length` | `sepal_length` | letters and digits of ASCII in lower case |
//! | `sepal length (cm)` | `sepal_length_cm` | anything else is a `_` |
//! | `petalWidth` | `petal_width` | |
//! | `é` | `ue9` | a letter that is not of ASCII is its number |
//! | `1st` | `feature_1st` | |
//! | `class` | `class_` | a word of a language, or a method of what is generated |
//! | `a-b`, `a_b` | `a_b_f0`, `a_b_f1` | what would be one identifier has its place behind it, from 0 |

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

/// A name on its way to an identifier.
pub(super) struct Name {
    plain: String,
    /// Differs from that of every other name of the list, whatever those are.
    numbered: String,
}

impl Name {
    /// Of the name at a place of a list; `kind` stands before what begins with a digit.
    pub(super) fn at(place: usize, name: &str, kind: &'static str) -> Self {
        let plain = plain(name, kind);
        // Two of them end in `f` and a number, and the numbers differ.
        let numbered = format!("{}_f{place}", plain.trim_end_matches('_'));
        Self { plain, numbered }
    }

    /// Of a model, whose place changes as others come and go: here what the identifier loses stands behind it, which is
    /// where in the name there was a `-` (d) or a `_` (u).
    pub(super) fn of_model(name: &str) -> Self {
        let plain = plain(name, "model");
        // What stands before a digit is no part of the name either (p).
        let begun = if name.starts_with(|c: char| c.is_ascii_digit()) { "p" } else { "" };
        let mut numbered = format!("{}_x{begun}", plain.trim_end_matches('_'));
        for (at, sign) in name.bytes().enumerate().filter(|(_, byte)| matches!(byte, b'-' | b'_')) {
            // Writing to a String can not fail.
            let _ = write!(numbered, "{at}{}", if sign == b'-' { 'd' } else { 'u' });
        }
        Self { plain, numbered }
    }
}

/// An identifier for each name. `derived` tells what is called after the one at a place, all of which shall differ from one
/// another and from what is `taken`, folded.
pub(super) fn identifiers(
    names: &[Name],
    derived: impl Fn(usize, &str) -> Vec<String>,
    taken: &HashSet<String>,
) -> Vec<String> {
    let mut numbered = vec![false; names.len()];
    loop {
        let chosen = names.iter().zip(&numbered);
        let chosen: Vec<&str> = chosen.map(|(name, n)| if *n { &*name.numbered } else { &*name.plain }).collect();
        let mut owners: HashMap<String, Vec<usize>> = HashMap::new();
        for (i, identifier) in chosen.iter().enumerate() {
            for name in derived(i, identifier) {
                owners.entry(folded(&name)).or_default().push(i);
            }
        }
        let disputed = owners.iter().filter(|(name, owners)| owners.len() > 1 || taken.contains(*name));
        let mut changed = false;
        for owner in disputed.flat_map(|(_, owners)| owners) {
            if let Some(numbered @ false) = numbered.get_mut(*owner) {
                *numbered = true;
                changed = true;
            }
        }
        if !changed {
            return chosen.into_iter().map(str::to_owned).collect();
        }
    }
}

/// The same of features or classes, of which nothing else is called.
pub(super) fn of_list<'n>(names: impl IntoIterator<Item = &'n str>, kind: &'static str) -> Vec<String> {
    let names: Vec<Name> = names.into_iter().enumerate().map(|(place, name)| Name::at(place, name, kind)).collect();
    identifiers(&names, |_, identifier| vec![identifier.to_owned()], &HashSet::new())
}

/// What `snake_case`, `camelCase` and `PascalCase` of a name have in common.
pub(super) fn folded(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// `credit_risk` becomes `CreditRisk`.
pub(super) fn pascal(identifier: &str) -> String {
    let words = identifier.split('_').map(|word| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    });
    words.collect()
}

/// What a value of an enumeration is called: `new york` becomes `NewYork`. The words that no language lets be one have a
/// sign behind them.
pub(super) fn variant(identifier: &str) -> String {
    let name = pascal(identifier);
    if ["None", "True", "False", "Self"].contains(&name.as_str()) { format!("{name}_") } else { name }
}

fn plain(name: &str, kind: &'static str) -> String {
    let mut words = String::with_capacity(name.len());
    let mut before = ' ';
    for c in name.chars() {
        if c.is_ascii_uppercase() && (before.is_ascii_lowercase() || before.is_ascii_digit()) {
            words.push('_');
        }
        match c {
            c if c.is_ascii_alphanumeric() => words.push(c.to_ascii_lowercase()),
            // Writing to a String can not fail.
            c if c.is_alphanumeric() => drop(write!(words, "_u{:x}_", u32::from(c))),
            _ => words.push('_'),
        }
        before = c;
    }
    let words: Vec<&str> = words.split('_').filter(|word| !word.is_empty()).collect();
    let joined = words.join("_");
    match joined.chars().next() {
        None => kind.to_owned(),
        Some(first) if first.is_ascii_digit() => format!("{kind}_{joined}"),
        Some(_) if is_reserved(&joined) => format!("{joined}_"),
        Some(_) => joined,
    }
}

/// Words that are no names in Python, TypeScript, Rust, Go or Java, and what a generated class of Python has already (of
/// pydantic 2 and of openapi-generator).
const RESERVED: &str = "abstract additional_properties and any as assert async await become bool boolean box break byte bytes case \
    catch chan char class const construct continue copy crate date datetime debugger def default defer del delete \
    dict do double dyn elif else enum except export extends extern fallthrough false fields final finally float fn \
    for from from_dict from_json from_orm func function global go goto if impl implements import in instanceof int \
    interface is json lambda let list long loop macro map match mod model_config model_construct model_copy \
    model_dump model_fields model_validate move mut native new nil none nonlocal not null number object or \
    override package parse_obj pass print priv private protected pub public raise range ref register return schema \
    select self set short static str strictfp string struct super switch synchronized this throw throws to_dict \
    to_json to_str trait transient try tuple type typeof typing union unsafe unsized use using validate var \
    virtual void volatile where while with yield";

fn is_reserved(word: &str) -> bool {
    RESERVED.split(' ').any(|reserved| reserved == word)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_legal(identifier: &str) -> bool {
        identifier.starts_with(|c: char| c.is_ascii_lowercase())
            && identifier.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            && !is_reserved(identifier)
    }

    #[test]
    fn names_become_what_people_would_write() {
        for (name, identifier) in [
            ("sepal_length", "sepal_length"),
            ("sepal length (cm)", "sepal_length_cm"),
            ("petalWidth", "petal_width"),
            ("X", "x"),
            ("class", "class_"),
            ("Class", "class_"),
            ("json", "json_"),
            ("1st", "feature_1st"),
            ("é", "ue9"),
            ("température max", "temp_ue9_rature_max"),
            ("%", "feature"),
            ("__init__", "init"),
        ] {
            assert_eq!(of_list([name], "feature"), [identifier], "{name}");
        }
        assert_eq!(of_list(["a-b", "c", "a_b", "ab"], "feature"), ["a_b_f0", "c", "a_b_f2", "ab_f3"]);
        // What would be another's number has its own.
        assert_eq!(of_list(["a-b", "a b", "a_b_f0"], "feature"), ["a_b_f0", "a_b_f1", "a_b_f0_f2"]);
        assert_eq!(pascal("credit_risk_2"), "CreditRisk2");
    }

    #[test]
    fn words_are_in_order_and_words() {
        let words: Vec<&str> = RESERVED.split(' ').collect();
        assert!(words.len() > 100 && words.is_sorted());
        assert!(words.iter().all(|word| plain(word, "feature") == format!("{word}_")));
    }

    /// What a model's operations and schemas are called; see `typed`.
    fn derived(identifier: &str) -> Vec<String> {
        vec![format!("predict_{identifier}"), format!("predict_{identifier}_rows"), format!("{identifier}Row")]
    }

    #[test]
    fn models_do_not_share_a_name_and_keep_theirs() {
        let taken = HashSet::from(["predictmodel".to_owned(), "rowsrow".to_owned()]);
        let of = |names: &[&str]| {
            let names: Vec<Name> = names.iter().map(|name| Name::of_model(name)).collect();
            identifiers(&names, |_, identifier| derived(identifier), &taken)
        };
        assert_eq!(of(&["iris", "credit-risk"]), ["iris", "credit_risk"]);
        assert_eq!(of(&["model", "rows", "2x"]), ["model_x", "rows_x", "model_2x"]);
        assert_eq!(of(&["a-b", "a_b", "ab", "c"]), ["a_b_x1d", "a_b_x1u", "ab_x", "c"]);
        assert_eq!(of(&["c", "a_b", "a-b"])[1..], ["a_b_x1u", "a_b_x1d"]);
        assert_eq!(of(&["2x", "model2x"]), ["model_2x_xp", "model2x_x"]);
        assert_eq!(of(&["iris", "iris_rows"]), ["iris_x", "iris_rows_x4u"]);
    }

    /// Names that are alike, to be told apart.
    fn names() -> impl Strategy<Value = Vec<String>> {
        let alike = "[aAbB1 _.é-]{1,4}|(class|1st|f|x|feature)[_ f0-9-]{0,3}|\\PC{1,12}";
        prop::collection::hash_set(alike, 1..24).prop_map(|names| names.into_iter().collect())
    }

    proptest! {
        #[test]
        fn each_name_has_an_identifier_of_its_own_that_leads_back(names in names()) {
            let identifiers = of_list(names.iter().map(String::as_str), "feature");
            let back: HashMap<String, &String> =
                identifiers.iter().map(|identifier| folded(identifier)).zip(&names).collect();
            prop_assert_eq!(back.len(), names.len(), "{:?}", identifiers);
            for (name, identifier) in names.iter().zip(&identifiers) {
                prop_assert!(is_legal(identifier), "{} {}", name, identifier);
                prop_assert_eq!(back[&folded(identifier)], name);
                prop_assert_eq!(back[&folded(&pascal(identifier))], name);
            }
        }

        #[test]
        fn what_is_called_after_models_differs(names in prop::collection::hash_set("[a0-2][a_xr1-]{0,5}|[ab]_?rows|(model[_-]?)?[12]", 1..16)) {
            let names: Vec<String> = names.into_iter().collect();
            let all: Vec<Name> = names.iter().map(|name| Name::of_model(name)).collect();
            let identifiers = identifiers(&all, |_, identifier| derived(identifier), &HashSet::new());
            let called: HashSet<String> =
                identifiers.iter().flat_map(|identifier| derived(identifier)).map(|name| folded(&name)).collect();
            prop_assert_eq!(called.len(), 3 * names.len(), "{:?} {:?}", names, identifiers);
        }
    }
}
