//! A validation set taken out of the training photos.

use resnet_network::random::{Purpose, Random};

use super::list::PhotoList;
use crate::DataError;

impl PhotoList {
    /// Takes `n` random photos out and returns them, of each class the same share (to within one photo:
    /// largest remainders, the first class first among equal ones). Every class keeps at least one.
    /// The seed alone decides which; both lists stay in order.
    ///
    /// # Errors
    /// [`DataError::ClassTooSmall`] if a class would keep none; nothing has changed then.
    pub fn stratified_split(&mut self, n: usize, seed: u64) -> Result<PhotoList, DataError> {
        let classes = self.labels().iter().max().map_or(0, |&last| last as usize + 1);
        let counts = self.counts(classes);
        let too_small = || DataError::ClassTooSmall { validation: n, photos: self.len() };
        let shares = shares(&counts, n).ok_or_else(too_small)?;

        // The photos of each class, one class after another.
        let mut next: Vec<usize> = counts
            .iter()
            .scan(0, |end, count| {
                let start = *end;
                *end += count;
                Some(start)
            })
            .collect();
        let mut of_class = vec![0_u32; self.len()];
        for (photo, &label) in (0..).zip(self.labels()) {
            of_class[next[label as usize]] = photo;
            next[label as usize] += 1;
        }
        let mut moves = vec![false; self.len()];
        let mut rest = &mut of_class[..];
        for (class, (&count, share)) in counts.iter().zip(shares).enumerate() {
            let (photos, others) = rest.split_at_mut(count);
            rest = others;
            Random::new(seed, Purpose::Split, &[class as u64]).shuffle(photos);
            photos[..share].iter().for_each(|&photo| moves[photo as usize] = true);
        }
        Ok(self.divide(|photo| moves[photo]))
    }
}

/// How many of `n` photos each class gives: its share, rounded down, and one more by the largest
/// remainders. None if a class would keep none.
fn shares(counts: &[usize], n: usize) -> Option<Vec<usize>> {
    let total: usize = counts.iter().sum();
    let spare: usize = counts.iter().map(|count| count.saturating_sub(1)).sum();
    if n > spare {
        return None;
    }
    if n == 0 {
        return Some(vec![0; counts.len()]);
    }
    let exact = |count: usize| (n as u128 * count as u128, total as u128);
    let mut shares: Vec<usize> =
        counts.iter().map(|&count| exact(count)).map(|(a, b)| (a / b) as usize).collect();
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by_key(|&class| {
        let (a, b) = exact(counts[class]);
        std::cmp::Reverse(a % b)
    });
    let mut left = n - shares.iter().sum::<usize>();
    // A class of one photo has a remainder but nothing to give, so others may give twice.
    while left > 0 {
        for &class in &order {
            if left > 0 && shares[class] + 1 < counts[class] {
                shares[class] += 1;
                left -= 1;
            }
        }
    }
    Some(shares)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn list(counts: &[usize]) -> PhotoList {
        let mut list = PhotoList::new(Path::new("root"));
        for (class, &count) in counts.iter().enumerate() {
            (0..count).for_each(|i| list.push(format!("{class}/{i}.jpg").as_bytes(), class as u32));
        }
        list
    }

    fn names(list: &PhotoList) -> Vec<String> {
        (0..list.len()).map(|i| list.name(i).to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn every_class_gives_its_share() {
        for (counts, n, expected) in [
            (&[50, 30, 20][..], 10, &[5, 3, 2][..]),
            (&[50, 30, 20], 11, &[6, 3, 2]),
            (&[10, 10, 10], 4, &[2, 1, 1]),
            (&[1, 1, 98], 10, &[0, 0, 10]),
            (&[1, 1, 1, 1, 6], 5, &[0, 0, 0, 0, 5]),
            (&[3, 0, 3], 4, &[2, 0, 2]),
            (&[3, 0, 3], 0, &[0, 0, 0]),
        ] {
            assert_eq!(shares(counts, n).unwrap(), expected, "{n} of {counts:?}");
        }
        assert_eq!(shares(&[3, 0, 3], 5), None);
    }

    #[test]
    fn a_split_parts_the_photos_by_the_seed() {
        let all = list(&[7, 40, 13]);
        let with = |seed| {
            let mut train = all.clone();
            let validation = train.stratified_split(12, seed).unwrap();
            (train, validation)
        };
        let (train, validation) = with(3);
        assert_eq!((train.counts(3), validation.counts(3)), (vec![6, 32, 10], vec![1, 8, 3]));
        assert!([&train, &validation].iter().all(|list| list.labels().is_sorted()));
        let mut both = [names(&train), names(&validation)].concat();
        let mut expected = names(&all);
        both.sort();
        expected.sort();
        assert_eq!(both, expected);
        assert_eq!(with(3), with(3));
        assert_ne!(with(3).1, with(4).1);
        assert_eq!(train.path(0).parent().unwrap(), Path::new("root/0"));

        let mut few = list(&[2, 1]);
        let error = few.stratified_split(2, 0).unwrap_err();
        assert!(matches!(error, DataError::ClassTooSmall { validation: 2, photos: 3 }));
        assert_eq!(few, list(&[2, 1]));
    }
}
