//! Suggestions for names that do not exist.

/// The most similar name: that with the fewest edits, if their number is small for its length.
pub(super) fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let edits = |name: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &wanted.to_lowercase());
    let few = |name: &str| (wanted.chars().count().max(name.chars().count()) / 3).max(1);
    names
        .filter(|name| edits(name) <= few(name))
        .min_by_key(|name| edits(name))
}

/// The end of an error message about an unknown name; empty if no name is similar.
pub(super) fn did_you_mean<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> String {
    nearest(wanted, names).map_or(String::new(), |near| format!("; did you mean `{near}`?"))
}
