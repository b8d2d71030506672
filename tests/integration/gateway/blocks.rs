//! The page's blocks of code, found by the markers above them.
//!
//! `<!-- run: NAME -->` stands above commands, `<!-- file: NAME -->` above a file's content and
//! `<!-- example: NAME -->` above what is only shown.

use std::path::PathBuf;

/// Every marker on the page. One that no test knows would stand above something that is never
/// tried.
const MARKERS: &[&str] = &[
    "run: listen",
    "run: publish",
    "example: json",
    "example: protobuf",
    "file: publish.py",
    "run: publish-python",
    "run: generate-python",
    "file: gateway.py",
    "run: gateway-python",
    "run: build-c",
    "file: gateway.c",
    "run: gateway-c",
    "run: is-heard",
];

/// The page.
#[derive(Debug)]
pub(super) struct Page(String);

impl Page {
    pub(super) fn read() -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/mqtt.md");
        Self(std::fs::read_to_string(path).expect("the page is there"))
    }

    /// The page as it is.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// What stands in the block below a marker.
    pub(super) fn block(&self, marker: &str) -> String {
        self.blocks_below(marker).next().expect("blocks_below gives at least one")
    }

    /// What the page says that the commands below a marker print: the block after theirs.
    pub(super) fn printed_by(&self, marker: &str) -> String {
        self.blocks_below(marker).nth(1).unwrap_or_else(|| panic!("no block follows {marker}"))
    }

    /// The rows of the table below a marker, cell by cell.
    pub(super) fn rows(&self, marker: &str) -> Vec<Vec<String>> {
        let table = self.below(marker).skip_while(|line| !line.starts_with("|---"));
        let rows = table.skip(1).take_while(|line| line.starts_with('|'));
        rows.map(|row| row.trim_matches('|').split('|').map(|it| it.trim().to_owned()).collect())
            .collect()
    }

    fn below(&self, marker: &str) -> impl Iterator<Item = &str> {
        let marker = format!("<!-- {marker} -->");
        let mut lines = self.0.lines();
        assert!(lines.any(|line| line == marker), "the page has no {marker}");
        lines
    }

    fn blocks_below(&self, marker: &str) -> impl Iterator<Item = String> {
        let mut lines = self.below(marker);
        std::iter::from_fn(move || {
            lines.find(|line| line.starts_with("```"))?;
            Some(lines.by_ref().take_while(|line| *line != "```").fold(
                String::new(),
                |mut block, line| {
                    block.push_str(line);
                    block.push('\n');
                    block
                },
            ))
        })
    }
}

#[test]
fn every_marked_block_of_the_page_is_tried() {
    let page = Page::read();
    let kinds = ["run: ", "file: ", "example: "];
    let marker = |line: &str| {
        let marker = line.strip_prefix("<!-- ")?.strip_suffix(" -->")?;
        kinds.iter().any(|kind| marker.starts_with(kind)).then(|| marker.to_owned())
    };
    let found: Vec<_> = page.text().lines().filter_map(marker).collect();
    assert_eq!(found, MARKERS);
}
