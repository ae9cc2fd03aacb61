//! What was probably meant by a word that is not known: [`nearest`].

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
    fn a_slip_of_the_finger_is_answered_and_another_word_is_not() {
        let known = ["seeds", "threads", "group"];
        assert_eq!(nearest("Seed", known), Some("seeds"));
        assert_eq!(nearest("gruop", known), Some("group"));
        assert_eq!(nearest("wandb", known), None);
    }
}
