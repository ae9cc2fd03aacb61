//! The frame of a page, and tables in it: [`document`], [`table`].

/// A whole page.
pub(super) fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n\
         <style>\n{}</style>\n</head>\n<body>\n{body}<script>\n{}</script>\n</body>\n</html>\n",
        escaped(title),
        include_str!("style.css"),
        include_str!("sort.js")
    )
}

/// A cell of a table, as HTML.
pub(super) struct Cell {
    html: String,
    /// What it is sorted by; text is sorted by itself.
    value: Option<f64>,
}

impl Cell {
    pub(super) fn text(text: &str) -> Cell {
        Cell {
            html: escaped(text),
            value: None,
        }
    }

    pub(super) fn number(text: String, value: f64) -> Cell {
        Cell {
            html: escaped(&text),
            value: Some(value),
        }
    }

    /// A whole number, or a dash.
    pub(super) fn optional(value: Option<f64>) -> Cell {
        match value {
            Some(value) => Cell::number(format!("{value:.0}"), value),
            None => Cell::text("–"),
        }
    }

    pub(super) fn link(text: &str, to: &str) -> Cell {
        Cell {
            html: format!("<a href=\"{}\">{}</a>", escaped(to), escaped(text)),
            value: None,
        }
    }

    fn html(&self) -> String {
        match self.value {
            Some(value) => format!("<td data-value=\"{value}\">{}</td>", self.html),
            None => format!("<td>{}</td>", self.html),
        }
    }
}

/// A table that its headings sort.
pub(super) fn table(names: &[&str], rows: impl Iterator<Item = Vec<Cell>>) -> String {
    let names: String = names.iter().map(|name| format!("<th>{}</th>", escaped(name))).collect();
    let row = |cells: Vec<Cell>| format!("<tr>{}</tr>\n", cells.iter().map(Cell::html).collect::<String>());
    let rows: String = rows.map(row).collect();
    format!("<div class=\"scroll\"><table>\n<thead><tr>{names}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n")
}

/// Text without the characters that HTML reads as its own.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            other => out.push(other),
        }
    }
    out
}
