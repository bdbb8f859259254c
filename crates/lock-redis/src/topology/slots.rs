//! Slots of a cluster: the shards of a store and the slots in which they lie.

/// The number of slots.
pub(crate) const SLOTS: u16 = 16_384;

/// CRC16 as clusters compute it: XMODEM, with the polynomial 0x1021.
const fn crc16(bytes: &[u8]) -> u16 {
    let (mut crc, mut at) = (0_u16, 0);
    while at < bytes.len() {
        crc ^= (bytes[at] as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
            bit += 1;
        }
        at += 1;
    }
    crc
}

/// The slot of the keys whose names have this text in braces.
pub(crate) fn slot(tag: &str) -> u16 {
    crc16(tag.as_bytes()) % SLOTS
}

/// The shard of a lock: slots and hashes of locks are divided alike, so that the shards of a store
/// are as evenly spread over the masters as their slots.
pub(crate) fn shard_of(key: &str, shards: usize) -> usize {
    usize::from(slot(key)) * shards / usize::from(SLOTS)
}

/// The texts in braces of the shards: that of shard i is `prefix:i:n`, with the first n whose slot
/// lies in the i-th part of all slots. A store of one shard has `prefix:0`.
pub(crate) fn tags(prefix: &str, shards: usize) -> Vec<String> {
    if shards == 1 {
        return vec![format!("{prefix}:0")];
    }
    let is_in = |shard, tag: &str| usize::from(slot(tag)) * shards / usize::from(SLOTS) == shard;
    let tag = |shard| {
        let tags = (0_u32..).map(|number| format!("{prefix}:{shard}:{number}"));
        let mut tags = tags.skip_while(|tag| !is_in(shard, tag));
        tags.next().expect("a hash meets every part of the slots")
    };
    (0..shards).map(tag).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_a_cluster() {
        // By `CLUSTER KEYSLOT`.
        assert_eq!(crc16(b"123456789"), 0x31C3);
        for (key, expected) in [("foo", 12_182), ("somekey", 11_058), ("hello", 866), ("", 0)] {
            assert_eq!(slot(key), expected, "{key}");
        }
    }

    #[test]
    fn each_shard_lies_in_its_part_of_the_slots() {
        for shards in [2, 3, 64, 100, 256] {
            let tags = tags("deploys", shards);
            for (shard, tag) in tags.iter().enumerate() {
                assert!(tag.starts_with(&format!("deploys:{shard}:")), "{tag}");
                let (from, to) = (shard * 16_384, (shard + 1) * 16_384);
                let at = usize::from(slot(tag)) * shards;
                assert!((from..to).contains(&at), "shard {shard} of {shards}: {tag} is at {at}");
            }
        }
    }

    #[test]
    fn names_of_shards_never_change() {
        let tags = tags("lock", 64);
        assert_eq!([&*tags[0], &*tags[1], &*tags[63]], ["lock:0:72", "lock:1:161", "lock:63:1"]);
    }

    #[test]
    fn store_of_one_shard_keeps_its_names() {
        assert_eq!(tags("lock", 1), ["lock:0"]);
        assert_eq!(shard_of("any", 1), 0);
    }

    #[test]
    fn locks_are_spread_evenly() {
        let mut counts = [0_u32; 64];
        for number in 0..64_000 {
            counts[shard_of(&format!("acme/infra-{number}/prod"), 64)] += 1;
        }
        let (least, most) = (counts.iter().min(), counts.iter().max());
        assert!(counts.iter().all(|count| (800..1_200).contains(count)), "{least:?} to {most:?}");
    }
}
