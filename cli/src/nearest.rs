//! What a word with a typing error was meant to be: [`nearest`].

/// The candidate most similar to a word, if it is similar enough to be a likely typo.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::jaro_winkler(&word.to_lowercase(), &candidate.to_lowercase()),
                candidate,
            )
        })
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_likely_typo_is_found_and_another_word_is_not() {
        assert_eq!(nearest("algp", ["env", "algo"]), Some("algo"));
        assert_eq!(nearest("Algo", ["env", "algo"]), Some("algo"));
        assert_eq!(nearest("banana", ["env", "algo"]), None);
    }
}
