//! `authentication`.

use super::{instance::Draft, keywords::Place, reader::Reader};
use crate::config::{
    located::{Field, Located},
    model::Password,
    raw::RawInstance,
};

impl Reader {
    pub(super) fn password(&mut self, raw: &mut RawInstance, draft: &Draft<'_>, version: i64) {
        let Some(block) = draft.authentication else {
            return;
        };
        let mut kind = None;
        let mut password = None;
        for line in block.lines() {
            match self.known(line, Place::Authentication) {
                Some("auth_type") => kind = self.argument(line),
                Some("auth_pass") => {
                    let words = line.arguments().iter();
                    self.secrets.extend(words.map(|word| word.span.clone()));
                    password = self.argument(line);
                }
                _ => {}
            }
        }
        let span = block.span();
        let Some(kind) = kind else {
            if let Some(password) = password {
                self.warn(
                    password.span.clone(),
                    "auth_pass without auth_type",
                    "no password is sent or asked for, as with keepalived",
                    "say auth_type PASS, or remove the block",
                );
            }
            return;
        };
        match kind.text.to_ascii_uppercase().as_str() {
            "PASS" => {}
            "AH" if version == 2 => {
                self.warn(
                    kind.span.clone(),
                    "there is no Authentication Header (AH)",
                    "advertisements are sent and taken without it: routers that use AH do not \
                     hear this one, nor it them, and both sides would be Active",
                    "RFC 3768 took authentication out in 2004: say auth_type PASS on all routers, \
                     or none, before one of them is changed to Harrier",
                );
                return;
            }
            "AH" => {}
            _ => {
                self.warn(
                    kind.span.clone(),
                    format!("there is no authentication {:?}", kind.text),
                    "expected PASS; none is used, as with keepalived",
                    "say auth_type PASS, or remove the block",
                );
                return;
            }
        }
        if version != 2 {
            self.warn(
                span,
                "VRRP version 3 has no authentication",
                "none is used, as with keepalived",
                "a packet filter that lets protocol 112 in from the other routers does more",
            );
            return;
        }
        let Some(word) = password else {
            self.warn(
                span,
                "auth_type without auth_pass",
                "no password is sent or asked for, as with keepalived",
                "say auth_pass, or remove the block",
            );
            return;
        };
        let cut = word.text.floor_char_boundary(Password::MAX);
        if cut < word.text.len() {
            self.warn(
                word.span.clone(),
                format!("a password of {} octets", word.text.len()),
                format!("the first {cut} are sent and asked for, as by keepalived"),
                "give those only: the rest protects nothing",
            );
        }
        let text = word.text[..cut].to_owned();
        if Password::new(&text).is_some() {
            raw.password = Field::Given(Located::new(text, word.span.clone()));
        }
    }
}
