//! Lists in JSON, of which no more is kept than a request may have: a short text can stand for many items.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// The first items of a list, at most `most`, and how many it has.
pub(crate) fn first<'a, T: Deserialize<'a>>(
    list: &'a RawValue,
    most: usize,
) -> serde_json::Result<(Vec<T>, usize)> {
    let mut text = serde_json::Deserializer::from_str(list.get());
    text.deserialize_seq(First { most, items: PhantomData })
}

struct First<T> {
    most: usize,
    items: PhantomData<T>,
}

impl<'a, T: Deserialize<'a>> Visitor<'a> for First<T> {
    type Value = (Vec<T>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while items.len() < self.most {
            match list.next_element()? {
                Some(item) => items.push(item),
                None => {
                    let count = items.len();
                    return Ok((items, count));
                }
            }
        }
        let mut count = items.len();
        while list.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok((items, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_counted_to_its_end() {
        let of = |text: &str, most| {
            let list: &RawValue = serde_json::from_str(text).unwrap();
            first::<u64>(list, most).ok()
        };
        assert_eq!(of("[]", 2), Some((vec![], 0)));
        assert_eq!(of("[1]", 2), Some((vec![1], 1)));
        assert_eq!(of(" [1, 2] ", 2), Some((vec![1, 2], 2)));
        assert_eq!(of("[1, 2, \"x\", 4]", 2), Some((vec![1, 2], 4)));
        assert_eq!(of("[1, 2]", 0), Some((vec![], 2)));
        for wrong in ["[\"x\"]", "{}", "1", "null"] {
            assert_eq!(of(wrong, 2), None, "{wrong}");
        }
    }
}
