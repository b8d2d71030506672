//! The tokens of pages of lists: opaque text that says of which request it is, and where its next
//! page begins.
//!
//! A token belongs to one request by one scope: with any other it is refused, so that nobody takes
//! a part of one list for a part of another. It grants nothing: who may see what is decided anew for
//! every page.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::Violations;
use crate::engine::input::Sites;

const VERSION: u8 = 1;
const DIGEST_LENGTH: usize = 12;
/// Ours are far shorter; a longer one is refused before it is read.
const TOKEN_BYTES_MAX: usize = 512;
/// Rows on a page whose size was not said.
const PAGE_SIZE_DEFAULT: u32 = 100;
/// Rows on a page at most: a few hundred KiB on the wire, and less than a millisecond of the engine.
const PAGE_SIZE_MAX: u32 = 1000;

/// What is listed, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::grpc) struct Listing([u8; DIGEST_LENGTH]);

impl Listing {
    /// The list that `call` gives to who may see `sites`, when asked by these words.
    pub(super) fn of(call: &str, sites: &Sites, words: &[&str]) -> Self {
        let mut digest = Sha256::new();
        // No id holds a zero.
        let mut add = |word: &str| {
            digest.update(word);
            digest.update([0]);
        };
        add(call);
        words.iter().copied().for_each(&mut add);
        if let Sites::Only(sites) = sites {
            let mut sites: Vec<_> = sites.iter().map(|site| site.as_str()).collect();
            sites.sort_unstable();
            sites.dedup();
            add("/only");
            sites.into_iter().for_each(add);
        }
        let full: [u8; 32] = digest.finalize().into();
        let mut short = [0; DIGEST_LENGTH];
        short.copy_from_slice(&full[..DIGEST_LENGTH]);
        Self(short)
    }

    /// The token of the page that begins at this place; empty after the last.
    pub(in crate::grpc) fn token(self, place: Option<String>) -> String {
        let Some(place) = place else { return String::new() };
        let mut bytes = vec![VERSION];
        bytes.extend(self.0);
        bytes.extend(place.into_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn open(self, token: &str) -> Option<String> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (version, rest) = bytes.split_first()?;
        let (theirs, place) = rest.split_first_chunk::<DIGEST_LENGTH>()?;
        let is_ours = *version == VERSION && *theirs == self.0;
        String::from_utf8(place.to_vec()).ok().filter(|_| is_ours)
    }
}

impl Violations {
    /// The place at which a token's page begins. The outer `None`: wrong; the inner one: none was
    /// given.
    pub(super) fn place<Place>(
        &mut self,
        token: &str,
        listing: Listing,
        read: impl FnOnce(&str) -> Option<Place>,
    ) -> Option<Option<Place>> {
        if token.is_empty() {
            return Some(None);
        }
        match listing.open(token).and_then(|place| read(&place)) {
            Some(place) => Some(Some(place)),
            None => {
                self.refuse("page_token", "not a token of this request and this caller's sites")
            }
        }
    }

    /// How many rows a page has at most.
    pub(super) fn list_page_size(&mut self, asked: i32) -> Option<u32> {
        self.page_size(asked, PAGE_SIZE_DEFAULT).map(|size| size.min(PAGE_SIZE_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(sites: &[&str]) -> Sites {
        Sites::Only(sites.iter().map(|site| site.parse().expect("an id")).collect())
    }

    #[test]
    fn a_token_leads_back_to_its_place_for_its_own_request_and_scope() {
        let listing = Listing::of("ListPatients", &only(&["a", "b"]), &["north", ""]);
        let token = listing.token(Some("p-17".to_owned()));
        assert_eq!(listing.open(&token).as_deref(), Some("p-17"));
        let same = Listing::of("ListPatients", &only(&["b", "a", "b"]), &["north", ""]);
        assert_eq!(same, listing, "the order of a caller's sites says nothing");
        for other in [
            Listing::of("ListDevices", &only(&["a", "b"]), &["north", ""]),
            Listing::of("ListPatients", &only(&["a"]), &["north", ""]),
            Listing::of("ListPatients", &Sites::All, &["north", ""]),
            Listing::of("ListPatients", &only(&["a", "b"]), &["", "north"]),
            Listing::of("ListPatients", &Sites::All, &["north", "", "/only", "a", "b"]),
        ] {
            assert_eq!(other.open(&token).filter(|_| other != listing), None, "{other:?}");
        }
    }

    #[test]
    fn other_text_is_no_token() {
        let listing = Listing::of("ListSites", &Sites::All, &[]);
        let too_long = "A".repeat(TOKEN_BYTES_MAX + 1);
        for text in ["A", "nonsense?", "AAAA", &too_long] {
            assert_eq!(listing.open(text), None, "{text}");
        }
        assert_eq!(listing.token(None), "");
    }
}
