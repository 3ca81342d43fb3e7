use super::*;

#[test]
fn the_mixer_is_that_of_splitmix64() {
    // The generator's published stream for the seed 1234567.
    let states = (1..=3u64).map(|i| 1_234_567u64.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let stream: Vec<u64> = states.map(mix).collect();
    assert_eq!(stream, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
}
