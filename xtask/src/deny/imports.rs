//! The graph of imports between the files of a package, and the circles in it.
//!
//! File A imports from file B if A names an item that B defines: in a `use` declaration or in a path such as
//! `super::b::item`. A path that goes through a re-export counts as an import from the file that defines the item. A
//! `mod` declaration is no import, and neither is a parent's re-export of an item of a child, unless the parent uses
//! the item itself. Comments, documentation links and tests do not count.
//!
//! The check reads tokens only. It does not see items that macros define, nor paths inside strings.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::source::{self, View};

/// Describes every group of files in `folder` (such as `envs/src`) that import each other in a circle.
pub fn circles(root: &Path, folder: &str) -> Result<Vec<String>> {
    let tree = Tree::read(root, folder)?;
    let edges = tree.edges();
    let groups = groups(tree.files.len(), &edges);
    Ok(groups
        .iter()
        .map(|group| describe(group, &tree.files, &edges))
        .collect())
}

/// From a file to those that it imports from, with one import of each.
type Edges = BTreeMap<usize, BTreeMap<usize, Import>>;

/// Where a file imports something, and what.
#[derive(Debug, Clone)]
struct Import {
    line: usize,
    path: String,
}

fn describe(group: &[usize], files: &[String], edges: &Edges) -> String {
    let mut text = format!("{} files import each other in a circle:", group.len());
    for from in group {
        let inside = edges[from].iter().find(|(to, _)| group.contains(to));
        if let Some((to, Import { line, path })) = inside {
            text += &format!("\n    {}:{line} imports {path} from {}", files[*from], files[*to]);
        }
    }
    text
}

/// The strongly connected components of more than one file.
fn groups(files: usize, edges: &Edges) -> Vec<Vec<usize>> {
    let reached_from = |start: usize| {
        let mut reached = BTreeSet::new();
        let mut open = vec![start];
        while let Some(file) = open.pop() {
            for next in edges.get(&file).into_iter().flat_map(BTreeMap::keys) {
                if reached.insert(*next) {
                    open.push(*next);
                }
            }
        }
        reached
    };
    let reached: Vec<BTreeSet<usize>> = (0..files).map(reached_from).collect();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for file in 0..files {
        if reached[file].contains(&file) && !groups.iter().any(|group| group.contains(&file)) {
            groups.push(
                (0..files)
                    .filter(|other| reached[file].contains(other) && reached[*other].contains(&file))
                    .collect(),
            );
        }
    }
    groups
}

/// The modules of a package, from the root of its library and of each of its programs.
#[derive(Debug, Default)]
struct Tree {
    /// Paths relative to the workspace.
    files: Vec<String>,
    modules: Vec<Module>,
}

/// A module: a file, or a block `mod name { … }` in one.
#[derive(Debug, Default)]
struct Module {
    file: usize,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    /// Names of the items that it defines.
    items: BTreeSet<String>,
    uses: Vec<Use>,
    /// Paths outside of `use` declarations, with their lines.
    paths: Vec<(Vec<String>, usize)>,
    /// Every identifier outside of `use` declarations.
    words: BTreeSet<String>,
}

/// One name that a `use` declaration binds.
#[derive(Debug, Clone)]
struct Use {
    path: Vec<String>,
    /// `*` for all names of the module.
    name: String,
    line: usize,
    is_public: bool,
}

impl Tree {
    fn read(root: &Path, folder: &str) -> Result<Self> {
        let mut tree = Tree::default();
        let mut roots: Vec<PathBuf> = ["lib.rs", "main.rs"].map(PathBuf::from).into();
        for entry in fs::read_dir(root.join(folder).join("bin"))
            .into_iter()
            .flatten()
            .flatten()
        {
            roots.push(Path::new("bin").join(entry.file_name()));
        }
        for file in roots {
            let file = Path::new(folder).join(file);
            if root.join(&file).is_file() {
                tree.read_file(root, &file, Path::new(folder), None)?;
            }
        }
        // A check of no files would always hold.
        ensure!(!tree.files.is_empty(), "{folder} has neither lib.rs nor main.rs");
        Ok(tree)
    }

    /// Reads `file` and its submodules, whose files are in `folder`. Returns the number of its module.
    fn read_file(&mut self, root: &Path, file: &Path, folder: &Path, parent: Option<usize>) -> Result<usize> {
        let text = fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {}", file.display()))?;
        self.files.push(file.to_string_lossy().into_owned());
        let module = self.modules.len();
        self.modules.push(Module {
            file: self.files.len() - 1,
            parent,
            ..Module::default()
        });
        for (owner, name, folders) in self.read_tokens(module, &tokens(&text)) {
            let folder = folders.iter().fold(folder.to_owned(), |folder, name| folder.join(name));
            let candidates = [folder.join(format!("{name}.rs")), folder.join(&name).join("mod.rs")];
            if let Some(file) = candidates.into_iter().find(|file| root.join(file).is_file()) {
                let child = self.read_file(root, &file, &folder.join(&name), Some(owner))?;
                self.modules[owner].children.insert(name, child);
            }
        }
        Ok(module)
    }

    /// Fills `module`, and the modules that stand in its file as blocks. Returns the submodules that are files of their
    /// own: the module that declares each, its name, and the names of the blocks around the declaration.
    fn read_tokens(&mut self, module: usize, tokens: &[Token]) -> Vec<(usize, String, Vec<String>)> {
        let mut files = Vec::new();
        // The modules that are open, each with the depth of braces in it and its name.
        let mut open = vec![(module, 0, String::new())];
        let mut depth = 0;
        let word = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
        let mut at = 0;
        while at < tokens.len() {
            let (module, bottom, _) = open[open.len() - 1].clone();
            let token = &tokens[at];
            match token.text.as_str() {
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    if depth < bottom {
                        open.pop();
                    }
                }
                "use" => {
                    let is_public = at > 0 && matches!(word(at - 1), "pub" | ")");
                    at += 1;
                    let mut found = Vec::new();
                    use_tree(tokens, &mut at, &[], &mut found);
                    let uses = found.into_iter().map(|(path, name)| Use {
                        path,
                        name,
                        line: token.line,
                        is_public,
                    });
                    self.modules[module].uses.extend(uses);
                    continue;
                }
                "mod" if word(at + 2) == ";" => {
                    let folders = open[1..].iter().map(|(_, _, name)| name.clone()).collect();
                    files.push((module, word(at + 1).to_string(), folders));
                    at += 1;
                }
                "mod" if word(at + 2) == "{" => {
                    let name = word(at + 1).to_string();
                    let child = self.modules.len();
                    self.modules.push(Module {
                        file: self.modules[module].file,
                        parent: Some(module),
                        ..Module::default()
                    });
                    self.modules[module].children.insert(name.clone(), child);
                    depth += 1;
                    open.push((child, depth, name));
                    at += 2;
                }
                "fn" | "struct" | "enum" | "union" | "trait" | "type" | "const" | "static" | "macro_rules"
                    if depth == bottom =>
                {
                    let skipped = usize::from(matches!(word(at + 1), "mut" | "!"));
                    self.modules[module].items.insert(word(at + 1 + skipped).to_string());
                }
                _ if token.is_word() && (at == 0 || !matches!(word(at - 1), "::" | ".")) => {
                    let mut path = vec![token.text.clone()];
                    while word(at + 1) == "::" && tokens.get(at + 2).is_some_and(Token::is_word) {
                        at += 2;
                        path.push(word(at).to_string());
                    }
                    self.modules[module].words.insert(path[0].clone());
                    if path.len() > 1 {
                        self.modules[module].paths.push((path, token.line));
                    }
                }
                _ => {}
            }
            at += 1;
        }
        files
    }

    fn edges(&self) -> Edges {
        let mut edges = Edges::new();
        let mut add = |from: usize, to: Option<usize>, line: usize, path: &[String]| {
            let (from, to) = (self.modules[from].file, to.map(|to| self.modules[to].file));
            if let Some(to) = to.filter(|to| *to != from) {
                let path = path.join("::");
                edges
                    .entry(from)
                    .or_default()
                    .entry(to)
                    .or_insert(Import { line, path });
            }
        };
        for (number, module) in self.modules.iter().enumerate() {
            for used in &module.uses {
                if used.name == "*" {
                    let Some(Found::Module(from)) = self.find(number, &used.path, 0) else {
                        continue;
                    };
                    for word in &module.words {
                        if let Some(Found::Item(owner)) = self.find_in(from, std::slice::from_ref(word), 0) {
                            add(
                                number,
                                Some(owner),
                                used.line,
                                &[&used.path[..], std::slice::from_ref(word)].concat(),
                            );
                        }
                    }
                } else if let Some(Found::Item(owner)) = self.find(number, &used.path, 0) {
                    let is_mere_re_export =
                        used.is_public && self.is_below(owner, number) && !module.words.contains(&used.name);
                    if !is_mere_re_export {
                        add(number, Some(owner), used.line, &used.path);
                    }
                }
            }
            for (path, line) in &module.paths {
                if let Some(Found::Item(owner)) = self.find(number, path, 0) {
                    add(number, Some(owner), *line, path);
                }
            }
        }
        edges
    }

    fn is_below(&self, module: usize, above: usize) -> bool {
        let mut next = self.modules[module].parent;
        while let Some(parent) = next {
            if parent == above {
                return true;
            }
            next = self.modules[parent].parent;
        }
        false
    }

    /// What `path` names in `module`. Nothing for a path into another package, or of a local name.
    fn find(&self, module: usize, path: &[String], detours: usize) -> Option<Found> {
        let (mut start, mut rest) = (module, path);
        while let Some((first, others)) = rest.split_first() {
            match first.as_str() {
                "crate" => start = self.root_of(start),
                "self" => {}
                "super" => start = self.modules[start].parent?,
                _ => break,
            }
            rest = others;
        }
        match self.find_in(start, rest, detours) {
            // The item of a macro, or one whose definition was not understood.
            None if rest.len() < path.len() => Some(Found::Item(start)),
            found => found,
        }
    }

    fn root_of(&self, mut module: usize) -> usize {
        while let Some(parent) = self.modules[module].parent {
            module = parent;
        }
        module
    }

    /// What `path` names, with its first segment looked up in `start`.
    fn find_in(&self, start: usize, path: &[String], detours: usize) -> Option<Found> {
        const MAX_DETOURS: usize = 32;
        let Some((first, rest)) = path.split_first() else {
            return Some(Found::Module(start));
        };
        let module = &self.modules[start];
        if let Some(child) = module.children.get(first) {
            return self.find_in(*child, rest, detours).or(Some(Found::Item(*child)));
        }
        if module.items.contains(first) {
            return Some(Found::Item(start));
        }
        if detours == MAX_DETOURS {
            return None;
        }
        if let Some(used) = module.uses.iter().find(|used| used.name == *first) {
            return self.find(start, &[&used.path, rest].concat(), detours + 1);
        }
        module.uses.iter().filter(|used| used.name == "*").find_map(|used| {
            let Some(Found::Module(from)) = self.find(start, &used.path, detours + 1) else {
                return None;
            };
            self.find_in(from, path, detours + 1)
        })
    }
}

/// What a path names.
#[derive(Debug, Clone, Copy)]
enum Found {
    Module(usize),
    /// An item that this module defines, or something inside of it.
    Item(usize),
}

/// Reads what follows `use`, up to the end of this branch. Adds each full path with the name that it gets.
fn use_tree(tokens: &[Token], at: &mut usize, prefix: &[String], found: &mut Vec<(Vec<String>, String)>) {
    let mut path = prefix.to_vec();
    while let Some(token) = tokens.get(*at) {
        match token.text.as_str() {
            "::" => {}
            "{" => {
                *at += 1;
                while tokens.get(*at).is_some_and(|token| token.text != "}") {
                    use_tree(tokens, at, &path, found);
                    if tokens.get(*at).is_some_and(|token| token.text == ",") {
                        *at += 1;
                    }
                }
                *at += 1;
                return;
            }
            "*" => {
                *at += 1;
                found.push((path, "*".to_string()));
                return;
            }
            "as" => {
                let name = tokens.get(*at + 1).map_or(String::new(), |token| token.text.clone());
                *at += 2;
                found.push((path, name));
                return;
            }
            "self" if !path.is_empty() => {}
            _ if token.is_word() => path.push(token.text.clone()),
            // A comma, a semicolon, or a closing brace.
            _ => break,
        }
        *at += 1;
    }
    if let Some(name) = path
        .last()
        .cloned()
        .filter(|_| path.len() > prefix.len() || !prefix.is_empty())
    {
        found.push((path, name));
    }
}

#[derive(Debug, Clone)]
struct Token {
    text: String,
    /// From 1.
    line: usize,
}

impl Token {
    fn is_word(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// The words, `::`, and other characters of a file, without tests.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    for (index, line) in source::view(text, View::Code).lines().enumerate() {
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let is_part = |c: char| c.is_alphanumeric() || c == '_';
            let length = match first {
                ':' if rest.starts_with("::") => 2,
                _ if is_part(first) => rest.find(|c| !is_part(c)).unwrap_or(rest.len()),
                _ => first.len_utf8(),
            };
            if !first.is_whitespace() {
                tokens.push(Token {
                    text: rest[..length].to_string(),
                    line: index + 1,
                });
            }
            rest = &rest[length..];
        }
    }
    without_test_items(&tokens)
}

/// Drops every item under `#[cfg(test)]`.
fn without_test_items(tokens: &[Token]) -> Vec<Token> {
    const TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let is_test = tokens.len() >= at + TEST.len() && TEST.iter().zip(&tokens[at..]).all(|(a, b)| *a == b.text);
        if !is_test {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        // The rest of the item: up to a semicolon or a closing brace outside of brackets.
        let mut depth = 0;
        at += TEST.len();
        while at < tokens.len() {
            match tokens[at].text.as_str() {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" if depth == 0 => break, // the test item was the last of its block
                "}" | ")" | "]" => depth -= 1,
                _ => {}
            }
            let is_end = depth == 0 && matches!(tokens[at].text.as_str(), "}" | ";");
            at += 1;
            if is_end {
                break;
            }
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The circles of a package with these files below `p/src`.
    fn found(files: &[(&str, &str)]) -> String {
        let root = tempfile::tempdir().expect("temporary folder");
        for (name, text) in files {
            let path = root.path().join("p/src").join(name);
            fs::create_dir_all(path.parent().expect("has a folder")).expect("writable");
            fs::write(path, text).expect("writable");
        }
        circles(root.path(), "p/src").expect("readable").join("\n")
    }

    #[test]
    fn two_files_that_import_each_other_are_a_circle_with_a_line_for_each() {
        let circle = found(&[
            ("lib.rs", "mod a;\nmod b;\nmod c;\n"),
            ("a.rs", "use crate::b::B;\npub struct A(B);\n"),
            ("b.rs", "\npub struct B;\nfn f(a: &super::a::A, c: crate::c::C) {}\n"),
            ("c.rs", "pub struct C;\n"),
        ]);
        assert_eq!(
            circle,
            "2 files import each other in a circle:\
             \n    p/src/a.rs:1 imports crate::b::B from p/src/b.rs\
             \n    p/src/b.rs:3 imports super::a::A from p/src/a.rs"
        );
    }

    #[test]
    fn a_circle_through_a_third_file_and_through_a_binary_is_found() {
        let circle = found(&[
            (
                "main.rs",
                "mod a; mod b; mod c;\nfn main() {}\npub fn hex() { a::run() }\n",
            ),
            ("a.rs", "use crate::b;\npub fn run() { b::f() }\n"),
            ("b.rs", "use super::c::{self, X as Y};\npub fn f() { c::g(Y) }\n"),
            ("c.rs", "pub struct X;\npub fn g(_: X) { crate::hex() }\n"),
        ]);
        assert!(circle.starts_with("4 files"), "{circle}");
    }

    #[test]
    fn what_a_parent_re_exports_is_imported_from_the_file_that_defines_it() {
        let files = [
            ("lib.rs", "mod shapes;\npub use shapes::{Circle, Square};\n"),
            (
                "shapes/mod.rs",
                "mod circle;\nmod square;\npub use circle::Circle;\npub use self::square::*;\n",
            ),
            ("shapes/circle.rs", "use super::Square;\npub struct Circle(Square);\n"),
            ("shapes/square.rs", "pub struct Square;\n"),
        ];
        assert_eq!(found(&files), "");
        let mut circle = files;
        circle[3].1 = "pub struct Square;\nfn f(_: crate::Circle) {}\n";
        assert!(found(&circle).starts_with("2 files"), "{}", found(&circle));
    }

    #[test]
    fn a_parent_and_a_child_that_use_items_of_each_other_are_a_circle() {
        let child = ("a/b.rs", "use super::A;\npub struct B(A);\npub fn f() {}\n");
        for parent in [
            "mod b;\npub struct A;\nfn g() { b::f() }\n",
            "mod b;\nuse b::B;\npub struct A;\nfn g(_: B) {}\n",
            "mod b;\npub use b::B;\npub struct A;\nfn g(_: B) {}\n",
        ] {
            let circle = found(&[("lib.rs", "mod a;"), ("a.rs", parent), child]);
            assert!(circle.starts_with("2 files"), "{parent}: {circle}");
        }
        let re_export = "mod b;\npub use b::B;\npub struct A;\n";
        assert_eq!(found(&[("lib.rs", "mod a;"), ("a.rs", re_export), child]), "");
    }

    #[test]
    fn tests_comments_and_strings_do_not_count() {
        let free = found(&[
            ("lib.rs", "mod a;\nmod b;\n"),
            ("a.rs", "use crate::b::B;\npub struct A(B);\n"),
            (
                "b.rs",
                "//! See [`crate::a::A`].\n// crate::a::A\n#[cfg(test)]\nuse crate::a::A;\n#[cfg(test)]\nmod tests;\npub struct B;\n\
                 const S: &str = \"crate::a::A\";\n#[cfg(test)]\nimpl B { fn f(_: crate::a::A) {} }\n\
                 #[cfg(test)]\nmod more { use crate::a::A; }\n",
            ),
            ("b/tests.rs", "use crate::a::A;\n"),
        ]);
        assert_eq!(free, "");
    }

    #[test]
    fn a_block_module_belongs_to_its_file_and_a_glob_imports_what_is_used() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\n"),
            (
                "a.rs",
                "pub mod inner {\n    use super::*;\n    pub fn f(_: B) {}\n}\nuse crate::b::B;\n",
            ),
            ("b.rs", "use crate::a::*;\npub struct B;\npub fn g() {}\n"),
        ];
        assert_eq!(found(&files), "");
        let mut circle = files;
        circle[2].1 = "pub struct B;\npub fn g() { crate::a::inner::f(B) }\n";
        assert!(found(&circle).starts_with("2 files"));
    }

    #[test]
    fn a_folder_without_a_package_is_an_error() {
        let root = tempfile::tempdir().expect("temporary folder");
        let error = circles(root.path(), "p/src").expect_err("nothing there").to_string();
        assert!(error.contains("p/src has neither lib.rs nor main.rs"), "{error}");
    }

    #[test]
    fn names_of_other_crates_and_of_associated_items_are_no_imports() {
        let free = found(&[
            ("lib.rs", "mod a;\nmod b;\n"),
            (
                "a.rs",
                "use crate::b::B;\npub struct A;\nimpl A { pub fn b() -> B { B } }\n",
            ),
            (
                "b.rs",
                "use std::fs;\nuse a_crate::A;\npub struct B;\nfn f<T: Named>() { T::b(); other::A::b(); x.a() }\n",
            ),
        ]);
        assert_eq!(free, "");
    }
}
