//! `spark.mesos.constraints`: which attributes an agent must have.
//!
//! Grammar and table as observed on Spark 3.5.6, except that ranges contain numbers, as documented,
//! and that nothing can go wrong while an offer is looked at.

use std::fmt;

use mesos_api::{Attribute, ValueType};

use crate::settings::SettingsError;

/// One entry: the attribute's name and what it may be; no value means it must only be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    /// Attribute name.
    pub name: String,
    /// Accepted values.
    pub values: Vec<String>,
}

/// Entries that must all hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Constraints(Vec<Constraint>);

impl Constraints {
    /// Reads `name:value,value;name:value`.
    ///
    /// # Errors
    /// `Bad constraint string` with the entry that is wrong.
    pub fn parse(property: &'static str, text: &str) -> Result<Self, SettingsError> {
        let mut constraints: Vec<Constraint> = Vec::new();
        if text.is_empty() {
            return Ok(Self::default());
        }
        for entry in text.split(';').map(str::trim) {
            let bad = |problem: &str| SettingsError::Value {
                property,
                value: text.to_owned(),
                problem: format!("Bad constraint string: {entry:?} {problem}"),
            };
            let parts: Vec<&str> = entry.split(':').collect();
            let [name, values] = parts[..] else {
                return Err(bad("must be an attribute, one colon and values: name:value,value"));
            };
            if name.is_empty() {
                return Err(bad("names no attribute"));
            }
            if constraints.iter().any(|held| held.name == name) {
                return Err(bad("names an attribute a second time"));
            }
            constraints.push(Constraint { name: name.to_owned(), values: split_values(values) });
        }
        Ok(Self(constraints))
    }

    /// The first entry these attributes fail.
    pub fn unmet<'a>(&'a self, attributes: &[Attribute]) -> Option<&'a Constraint> {
        self.0.iter().find(|constraint| !constraint.holds(attributes))
    }

    /// Blanks that are taken literally and surely not meant.
    pub fn warnings(&self) -> Vec<String> {
        let blank = |text: &String| text.trim() != text;
        self.0
            .iter()
            .filter(|constraint| {
                blank(&constraint.name) || constraint.values.iter().any(blank)
            })
            .map(|constraint| {
                format!("constraint \"{constraint}\": the blank is taken literally and never matches \"{}\"", constraint.name.trim())
            })
            .collect()
    }
}

/// Splits at commas; empty values at the end are dropped, blanks are kept.
fn split_values(text: &str) -> Vec<String> {
    let mut values: Vec<String> = text.split(',').map(str::to_owned).collect();
    while values.last().is_some_and(String::is_empty) {
        values.pop();
    }
    values
}

impl Constraint {
    fn holds(&self, attributes: &[Attribute]) -> bool {
        // Of attributes with the same name the last one counts.
        let Some(attribute) = attributes.iter().rev().find(|a| a.name == self.name) else {
            return false;
        };
        self.values.is_empty() || self.admits(attribute)
    }

    fn admits(&self, attribute: &Attribute) -> bool {
        let any = |test: &dyn Fn(&str) -> bool| self.values.iter().any(|value| test(value));
        match attribute.r#type() {
            ValueType::Text => {
                let text = attribute.text.as_ref().map_or("", |text| &text.value);
                any(&|value| value == text)
            }
            ValueType::Scalar => {
                let has = attribute.scalar.as_ref().map_or(f64::NAN, |scalar| scalar.value);
                any(&|value| value.trim().parse::<f64>().is_ok_and(|wanted| wanted <= has))
            }
            ValueType::Ranges => {
                let ranges = attribute.ranges.as_ref().map_or(&[][..], |ranges| &ranges.range);
                any(&|value| {
                    let number = value.trim().parse::<u64>();
                    number.is_ok_and(|n| ranges.iter().any(|r| (r.begin..=r.end).contains(&n)))
                })
            }
            ValueType::Set => {
                let items = attribute.set.as_ref().map_or(&[][..], |set| &set.item);
                self.values.iter().all(|value| items.contains(value))
            }
        }
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.values[..] {
            [] => write!(out, "{}", self.name),
            [value] => write!(out, "{}={value}", self.name),
            values => write!(out, "{} in {{{}}}", self.name, values.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use mesos_api::value::{Range, Ranges, Scalar, Set, Text};

    fn agent() -> Vec<Attribute> {
        let attribute = |name: &str, r#type: ValueType| Attribute {
            name: name.to_owned(),
            r#type: r#type.into(),
            ..Attribute::default()
        };
        let mut gpus = attribute("gpus", ValueType::Scalar);
        gpus.scalar = Some(Scalar { value: 3.0 });
        let mut old = attribute("zone", ValueType::Text);
        old.text = Some(Text { value: "old".to_owned() });
        let mut zone = attribute("zone", ValueType::Text);
        zone.text = Some(Text { value: "x".to_owned() });
        let mut ports = attribute("ports", ValueType::Ranges);
        ports.ranges = Some(Ranges { range: vec![Range { begin: 7000, end: 8000 }] });
        let mut tags = attribute("tags", ValueType::Set);
        tags.set = Some(Set { item: ["a", "b", "c"].map(str::to_owned).to_vec() });
        vec![gpus, old, zone, ports, tags]
    }

    fn check(texts: &[&str], expected: Expect) {
        let mut out = String::new();
        for text in texts {
            let line = match Constraints::parse("spark.mesos.constraints", text) {
                Ok(constraints) => match constraints.unmet(&agent()) {
                    None => format!("{text:?} holds"),
                    Some(unmet) => format!("{text:?} fails: {unmet}"),
                },
                Err(error) => error.to_string(),
            };
            out.push_str(&line);
            out.push('\n');
        }
        expected.assert_eq(&out);
    }

    #[test]
    fn text() {
        check(
            &[
                "",
                "zone:",
                "zone:,",
                "rack:",
                "zone:x",
                "zone:y,x",
                "zone:X",
                "zone:old",
                "zone:y, x",
                "zone :x",
                "zone: x",
                " zone:x ",
            ],
            expect![[r#"
                "" holds
                "zone:" holds
                "zone:," holds
                "rack:" fails: rack
                "zone:x" holds
                "zone:y,x" holds
                "zone:X" fails: zone=X
                "zone:old" fails: zone=old
                "zone:y, x" fails: zone in {y, x}
                "zone :x" fails: zone =x
                "zone: x" fails: zone= x
                " zone:x " holds
            "#]],
        );
    }

    #[test]
    fn scalars_ranges_and_sets() {
        check(
            &[
                "gpus:2",
                "gpus:3",
                "gpus:3.0",
                "gpus:-1",
                "gpus:4",
                "gpus:NaN",
                "gpus:2,9",
                "gpus:abc",
                "ports:",
                "ports:6000",
                "ports:7500",
                "ports:8002",
                "ports:5000,7500,8300",
                "ports:x",
                "tags:a",
                "tags:a,c",
                "tags:a,d",
            ],
            expect![[r#"
                "gpus:2" holds
                "gpus:3" holds
                "gpus:3.0" holds
                "gpus:-1" holds
                "gpus:4" fails: gpus=4
                "gpus:NaN" fails: gpus=NaN
                "gpus:2,9" holds
                "gpus:abc" fails: gpus=abc
                "ports:" holds
                "ports:6000" fails: ports=6000
                "ports:7500" holds
                "ports:8002" fails: ports=8002
                "ports:5000,7500,8300" holds
                "ports:x" fails: ports=x
                "tags:a" holds
                "tags:a,c" holds
                "tags:a,d" fails: tags in {a,d}
            "#]],
        );
    }

    #[test]
    fn malformed() {
        check(
            &[
                "zone",
                "a:b:c",
                "zone:x;",
                ";;",
                "zone:x;zone:y",
                ":x",
                "gpus:2;zone:x",
                "gpus:2;zone:y",
            ],
            expect![[r#"
                spark.mesos.constraints: "zone" is not valid: Bad constraint string: "zone" must be an attribute, one colon and values: name:value,value
                spark.mesos.constraints: "a:b:c" is not valid: Bad constraint string: "a:b:c" must be an attribute, one colon and values: name:value,value
                spark.mesos.constraints: "zone:x;" is not valid: Bad constraint string: "" must be an attribute, one colon and values: name:value,value
                spark.mesos.constraints: ";;" is not valid: Bad constraint string: "" must be an attribute, one colon and values: name:value,value
                spark.mesos.constraints: "zone:x;zone:y" is not valid: Bad constraint string: "zone:y" names an attribute a second time
                spark.mesos.constraints: ":x" is not valid: Bad constraint string: ":x" names no attribute
                "gpus:2;zone:x" holds
                "gpus:2;zone:y" fails: zone=y
            "#]],
        );
    }

    #[test]
    fn blanks_are_warned_about() {
        let constraints = Constraints::parse("spark.mesos.constraints", "zone: x;rack:r1").unwrap();
        assert_eq!(constraints.warnings().len(), 1);
    }
}
