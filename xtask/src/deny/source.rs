//! [`view`]: the code of a source file without comments, strings and tests.

/// The parts of a file that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Code without comments and the content of strings.
    Code,
    /// Code with strings, without comments.
    CodeAndStrings,
}

/// The text of a file with everything else replaced by spaces, up to the tests at its end. Line numbers do not change.
pub fn view(text: &str, view: View) -> String {
    let mut out = String::with_capacity(text.len());
    let chars: Vec<char> = text.chars().collect();
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let (length, is_kept) = match rest {
            ['/', '/', ..] => (line_comment(rest), false),
            ['/', '*', ..] => (block_comment(rest), false),
            _ if raw_string(&chars, at).is_some() => {
                (raw_string(&chars, at).unwrap_or(1), view == View::CodeAndStrings)
            }
            ['"', ..] => (string(rest), view == View::CodeAndStrings),
            // A character literal, not a lifetime: 'x' or '\…'.
            ['\'', '\\', ..] => (
                2 + 1 + rest.iter().skip(3).position(|&c| c == '\'').map_or(0, |n| n + 1),
                false,
            ),
            ['\'', _, '\'', ..] => (3, false),
            _ => (1, true),
        };
        let end = (at + length.max(1)).min(chars.len());
        out.extend(
            chars[at..end]
                .iter()
                .map(|&c| if is_kept || c == '\n' { c } else { ' ' }),
        );
        at = end;
    }
    without_tests(&out)
}

/// The text up to the module of tests, which is always the last item of a file.
fn without_tests(text: &str) -> String {
    let mut is_marked = false;
    let mut kept = String::with_capacity(text.len());
    for line in text.lines() {
        let bare = line.trim();
        if is_marked && (bare.starts_with("mod ") || bare.starts_with("pub(crate) mod ")) && bare.contains('{') {
            break;
        }
        is_marked = bare == "#[cfg(test)]" || is_marked && (bare.is_empty() || bare.starts_with("#["));
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

fn line_comment(rest: &[char]) -> usize {
    rest.iter().position(|&c| c == '\n').unwrap_or(rest.len())
}

fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at + 1 < rest.len() {
        match (rest[at], rest[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn string(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Length of `r"…"`, `r#"…"#`, `br"…"` at `at`, if one begins there.
fn raw_string(chars: &[char], at: usize) -> Option<usize> {
    let before = at.checked_sub(1).map(|index| chars[index]);
    if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let rest = &chars[at..];
    let start = match rest {
        ['r', '"' | '#', ..] => 1,
        ['b' | 'c', 'r', '"' | '#', ..] => 2,
        _ => return None,
    };
    let hashes = rest[start..].iter().take_while(|&&c| c == '#').count();
    if rest.get(start + hashes) != Some(&'"') {
        return None;
    }
    let body = start + hashes + 1;
    let closes = |index: usize| {
        rest[index] == '"' && rest.len() > index + hashes && rest[index + 1..=index + hashes].iter().all(|&c| c == '#')
    };
    let end = (body..rest.len()).find(|&index| closes(index));
    Some(end.map_or(rest.len(), |index| index + hashes + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blanked_and_lines_kept() {
        let text = "a(); // done\n/* done /* done */ done */ b();\nlet s = \"done \\\" done\"; c();\nlet r = r#\"done\"done\"#; d();\n";
        let code = view(text, View::Code);
        assert!(!code.contains("done"), "{code}");
        for call in ["a()", "b()", "c()", "d()"] {
            assert!(code.contains(call), "{call} is kept: {code}");
        }
        assert_eq!(code.lines().count(), text.lines().count());
        assert!(
            view(text, View::CodeAndStrings)
                .lines()
                .nth(2)
                .is_some_and(|line| line.contains("done"))
        );
    }

    #[test]
    fn a_quote_character_and_a_lifetime_do_not_open_a_string() {
        for text in [
            "let q = '\"'; done()",
            "fn f<'a>(x: &'a str) { done() }",
            "let q = '\\''; done()",
            "let q = b'\"'; done()",
        ] {
            assert!(view(text, View::Code).contains("done()"), "{text}");
        }
    }

    #[test]
    fn the_tests_at_the_bottom_do_not_count_but_a_test_only_import_does_not_end_the_file() {
        let text = "#[cfg(test)]\nuse x;\ncode();\n#[cfg(test)]\n#[allow(a)]\nmod tests {\n done();\n}\n";
        let code = view(text, View::Code);
        assert!(code.contains("code()") && !code.contains("done()"), "{code}");
    }
}
