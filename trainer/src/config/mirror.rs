//! The axes along which a patch is mirrored when predicting.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The names of the axes.
const NAMES: [&str; 3] = ["d", "h", "w"];

/// Logits are averaged over the mirror images along these axes d, h, w, and their combinations: twice the work for each. Axes
/// of one voxel are left out.
///
/// In words it is `all`, `none`, or axes such as `h,w`; a configuration may say true and false for the first two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mirror(pub [bool; 3]);

impl Mirror {
    /// No mirror images.
    pub const NONE: Self = Self([false; 3]);
    /// Along every axis.
    pub const ALL: Self = Self([true; 3]);
}

/// `inference.mirror`: mirror images along these axes, or along as many as a run can pay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mirroring {
    /// `"auto"`, until a run settles it before its first step.
    Auto,
    /// Said by the user, or settled.
    Along(Mirror),
}

impl Mirroring {
    /// What `"auto"` is settled to, the best that a run can pay.
    pub const CHOICES: [Mirror; 4] =
        [Mirror::ALL, Mirror([false, true, true]), Mirror([false, false, true]), Mirror::NONE];

    /// The axes; all while they are not settled.
    pub fn axes(self) -> Mirror {
        match self {
            Self::Auto => Mirror::ALL,
            Self::Along(mirror) => mirror,
        }
    }
}

impl Serialize for Mirroring {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => to.serialize_str("auto"),
            Self::Along(mirror) => mirror.serialize(to),
        }
    }
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NONE => f.write_str("none"),
            Self::ALL => f.write_str("all"),
            Self(axes) => {
                let names = NAMES.into_iter().zip(axes).filter_map(|(name, is_one)| is_one.then_some(name));
                f.write_str(&names.collect::<Vec<_>>().join(","))
            }
        }
    }
}

impl FromStr for Mirror {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => return Ok(Self::NONE),
            "all" => return Ok(Self::ALL),
            _ => {}
        }
        let mut axes = [false; 3];
        for word in text.split(',') {
            let axis = NAMES.iter().position(|name| *name == word.trim());
            let axis = axis.filter(|&axis| !axes[axis]);
            axes[axis.ok_or_else(|| {
                format!("{text:?} is no choice of axes: none, all, or some of d,h,w such as h,w")
            })?] = true;
        }
        Ok(Self(axes))
    }
}

impl Serialize for Mirror {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mirroring {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "auto, none, all, or some of d,h,w such as h,w are needed")]
        enum Said {
            Whether(bool),
            Word(String),
        }
        Ok(match Said::deserialize(from)? {
            Said::Whether(true) => Self::Along(Mirror::ALL),
            Said::Whether(false) => Self::Along(Mirror::NONE),
            Said::Word(word) if word == "auto" => Self::Auto,
            Said::Word(axes) => Self::Along(axes.parse().map_err(serde::de::Error::custom)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_read_as_they_are_written() {
        for bits in 0..8 {
            let mirror = Mirror([0, 1, 2].map(|axis| bits >> axis & 1 == 1));
            assert_eq!(mirror.to_string().parse(), Ok(mirror));
        }
        assert_eq!("w, d".parse(), Ok(Mirror([true, false, true])));
        for text in ["", "x", "d,d", "all,d", "dhw"] {
            let error = text.parse::<Mirror>().unwrap_err();
            assert!(error.contains("none, all, or some of d,h,w"), "{error}");
        }
    }

    #[test]
    fn configurations_say_whether_or_along_which() {
        let read = |value: &str| {
            let config = crate::config::Config::load(None, &[format!("inference.mirror={value}")]);
            config.map(|config| config.inference.mirror).map_err(|error| error.to_string())
        };
        assert_eq!(read("true"), Ok(Mirroring::Along(Mirror::ALL)));
        assert_eq!(read("false"), Ok(Mirroring::Along(Mirror::NONE)));
        assert_eq!(read("none"), Ok(Mirroring::Along(Mirror::NONE)));
        assert_eq!(read("h,w"), Ok(Mirroring::Along(Mirror([false, true, true]))));
        assert_eq!(read("auto"), Ok(Mirroring::Auto));
        for setting in [Mirroring::Auto, Mirroring::Along(Mirror::ALL), Mirroring::Along(Mirror::NONE)] {
            let mut config = crate::config::Config::default();
            config.inference.mirror = setting;
            let again = crate::config::Config::load(Some(("test", &config.to_toml())), &[]).unwrap();
            assert_eq!(again.inference.mirror, setting);
        }
        assert!(read("x,y").unwrap_err().contains("\"all\", \"none\", \"h,w\" or \"auto\""));
        assert!(read("3").is_err());
    }
}
