//! Facts about a Python program from its syntax tree. Counts only: what they are worth is
//! the rubric's business.

use std::collections::BTreeSet;
use std::ffi::c_char;

use tree_sitter::{Node, Parser, Tree};

use crate::ffi::{guard, text, Outcome, Status};

#[repr(C)]
#[derive(Default, Clone, Copy, Debug, PartialEq, Eq)]
pub struct PythonFacts {
    parses: bool,
    functions: u32,
    documented: u32,
    comments: u32,
    statements: u32,
    code_lines: u32,
    nesting: u32,
    loop_nesting: u32,
    complexity: u32,
    names: u32,
    short_names: u32,
    odd_names: u32,
    bare_excepts: u32,
}

const MAX_SOURCE: usize = 256 << 10;

const BLOCKS: [&str; 6] = [
    "if_statement",
    "for_statement",
    "while_statement",
    "try_statement",
    "with_statement",
    "match_statement",
];
const LOOPS: [&str; 3] = ["for_statement", "while_statement", "for_in_clause"];
const BRANCHES: [&str; 9] = [
    "if_statement",
    "elif_clause",
    "for_statement",
    "while_statement",
    "except_clause",
    "case_clause",
    "for_in_clause",
    "conditional_expression",
    "boolean_operator",
];
const NO_STATEMENTS: [&str; 4] = ["pass_statement", "comment", "string", "ellipsis"];

fn parse(source: &str) -> Outcome<Tree> {
    let mut parser = Parser::new();
    parser
        .set_language(&tree_sitter_python::LANGUAGE.into())
        .map_err(|error| error.to_string())?;
    parser.parse(source, None).ok_or_else(|| "the parser gave up".to_owned())
}

/// The walk through a tree: what stands above the node we are at.
#[derive(Default)]
struct Walk {
    facts: PythonFacts,
    kinds: Vec<&'static str>,
    complexities: Vec<u32>, // of the functions we are in
    rows: BTreeSet<usize>,
    nesting: u32,
    loops: u32,
    hollow: bool, // some block is empty, which the grammar lets pass
}

impl Walk {
    fn enter(&mut self, node: Node, field: Option<&str>, source: &[u8]) {
        let kind = node.kind();
        if kind == "function_definition" {
            self.facts.functions += 1;
            self.facts.documented += u32::from(has_docstring(node));
            self.complexities.push(1);
        }
        self.hollow |= kind == "block" && is_empty(node);
        self.nesting += u32::from(BLOCKS.contains(&kind));
        self.loops += u32::from(LOOPS.contains(&kind));
        self.facts.nesting = self.facts.nesting.max(self.nesting);
        self.facts.loop_nesting = self.facts.loop_nesting.max(self.loops);
        if let Some(complexity) = self.complexities.last_mut() {
            *complexity += u32::from(BRANCHES.contains(&kind));
        }
        self.facts.comments += u32::from(kind == "comment");
        self.facts.statements += u32::from(is_statement(node));
        let bare = kind == "except_clause" && node.child(1).is_some_and(|c| c.kind() == ":");
        self.facts.bare_excepts += u32::from(bare);
        if node.child_count() == 0 && kind != "comment" && !kind.starts_with("string") {
            self.rows.insert(node.start_position().row);
        }
        if kind == "identifier" && self.binds(field) {
            self.name(node.utf8_text(source).unwrap_or_default());
        }
        self.kinds.push(kind);
    }

    fn leave(&mut self) {
        let kind = self.kinds.pop().unwrap_or_default();
        self.nesting -= u32::from(BLOCKS.contains(&kind));
        self.loops -= u32::from(LOOPS.contains(&kind));
        if kind == "function_definition" {
            let complexity = self.complexities.pop().unwrap_or_default();
            self.facts.complexity = self.facts.complexity.max(complexity);
        }
    }

    /// Whether an identifier here is a name that the program chose.
    fn binds(&self, field: Option<&str>) -> bool {
        match (self.kinds.last().copied().unwrap_or_default(), field) {
            ("parameters" | "typed_parameter", _) => true,
            ("default_parameter" | "typed_default_parameter", Some("name")) => true,
            ("assignment", Some("left")) => true,
            _ => false,
        }
    }

    fn name(&mut self, name: &str) {
        let odd = name.chars().any(char::is_uppercase) && name.chars().any(char::is_lowercase);
        self.facts.names += 1;
        self.facts.short_names += u32::from(name.len() == 1 && name != "_");
        self.facts.odd_names += u32::from(odd);
    }
}

fn has_docstring(function: Node) -> bool {
    let body = function.child_by_field_name("body");
    let first = body.and_then(|body| body.named_child(0));
    first
        .filter(|first| first.kind() == "expression_statement")
        .and_then(|first| first.named_child(0))
        .is_some_and(|value| value.kind() == "string")
}

fn is_empty(block: Node) -> bool {
    let mut cursor = block.walk();
    let mut children = block.named_children(&mut cursor);
    children.all(|child| child.kind() == "comment")
}

/// A statement that does something: no pass, docstring or `...`, no def by itself.
fn is_statement(node: Node) -> bool {
    let kind = node.kind();
    if kind == "expression_statement" {
        return node.named_child(0).is_some_and(|c| !NO_STATEMENTS.contains(&c.kind()));
    }
    kind.ends_with("_statement") && !NO_STATEMENTS.contains(&kind)
}

/// Without recursion: a hostile program nests as deep as it likes.
fn facts_of(source: &str) -> Outcome<PythonFacts> {
    if source.len() > MAX_SOURCE {
        return Ok(PythonFacts::default());
    }
    let tree = parse(source)?;
    if tree.root_node().has_error() {
        return Ok(PythonFacts::default());
    }
    let mut walk = Walk::default();
    let mut cursor = tree.walk();
    'down: loop {
        walk.enter(cursor.node(), cursor.field_name(), source.as_bytes());
        if cursor.goto_first_child() {
            continue;
        }
        loop {
            walk.leave();
            if cursor.goto_next_sibling() {
                continue 'down;
            }
            if !cursor.goto_parent() {
                break 'down;
            }
        }
    }
    if walk.hollow {
        return Ok(PythonFacts::default());
    }
    walk.facts.parses = true;
    walk.facts.code_lines = walk.rows.len() as u32;
    Ok(walk.facts)
}

/// # Safety
/// As the header says.
#[no_mangle]
pub unsafe extern "C" fn pt_python_facts(
    source: *const c_char,
    len: usize,
    facts: *mut PythonFacts,
) -> Status {
    guard(|| {
        *facts = facts_of(text(source, len)?)?;
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts() {
        let source = "def f(a, bB=1):\n    \"\"\"Doc.\"\"\"\n    for x in a:\n        if x and a:\n            return x\n    return None\n";
        let facts = facts_of(source).unwrap();
        assert!(facts.parses);
        assert_eq!((facts.functions, facts.documented), (1, 1));
        assert_eq!((facts.nesting, facts.loop_nesting, facts.complexity), (2, 1, 4));
        assert_eq!((facts.names, facts.short_names, facts.odd_names), (2, 1, 1));
    }

    #[test]
    fn what_does_not_parse() {
        assert!(!facts_of("def f(:").unwrap().parses);
        assert!(!facts_of("Sure, here is how you do it.").unwrap().parses);
        assert!(facts_of(&"(".repeat(200_000)).is_ok());
    }
}
