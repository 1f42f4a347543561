//! Message tables: every protobuf field is written once, as `tag name: label kind`, and becomes a
//! prost message, the Mesos JSON dialect and a list of facts which tests compare with an oracle.
//!
//! Labels are `req`, `opt` and `rep`; kinds are the scalar names of protobuf, `enum T`, `boxed T`
//! (a message inside itself), `map T` (string keys) or a message type. `= literal` is an explicit
//! default of the field.

/// What a table says about one field or enum value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldFact {
    /// Full protobuf name of the message or enum.
    pub owner: &'static str,
    /// Field name as on the JSON wire, or the name of the enum value.
    pub name: &'static str,
    /// Field tag or value number.
    pub number: i32,
    /// `req`, `opt`, `rep`, or `enum` for a value.
    pub label: &'static str,
    /// Kind as written in the table; empty for a value.
    pub kind: &'static str,
}

/// Strips the raw-identifier mark of `r#type`.
pub(crate) fn plain_name(name: &'static str) -> &'static str {
    name.strip_prefix("r#").unwrap_or(name)
}

macro_rules! message {
    ($( $(#[$meta:meta])* $name:ident = $proto:literal { $($body:tt)* } )*) => {
        $( message!(@field [$(#[$meta])* $name $proto] [] []; $($body)*); )*
    };

    // Kinds: what prost calls them, the Rust type, how JSON treats them.
    (@field $h:tt $s:tt $f:tt; $tag:tt $n:ident : $l:ident string $($r:tt)*) => {
        message!(@label $h $s $f; $tag $n $l [string] [String] [value] "string"; $($r)*); };
    (@field $h:tt $s:tt $f:tt; $tag:tt $n:ident : $l:ident bytes $($r:tt)*) => {
        message!(@label $h $s $f; $tag $n $l [bytes = "bytes"] [::bytes::Bytes] [value] "bytes"; $($r)*); };
    (@field $h:tt $s:tt $f:tt; $tag:tt $n:ident : $l:ident bool $($r:tt)*) => {
        message!(@label $h $s $f; $tag $n $l [bool] [bool] [value] "bool"; $($r)*); };
    (@field $h:tt $s:tt $f:tt; $tag:tt $n:ident : $l:ident double $($r:tt)*) => {
        message!(@label $h $s $f; $tag $n $l [double] [f64] [value] "double"; $($r)*); };
    (@field $h:tt $s:tt $f:tt; $tag:tt $n:ident : $l:ident int32 $($r:tt)*) => {
        message!(@label $h $s $f; $tag $n $l [int32] [i32] [value] "int32"; $($r)*); };
    (@field $h:tt $s:tt $f:tt; $tag:tt $n:ident : $l:ident int64 $($r:tt)*) => {
        message!(@label $h $s $f; $tag $n $l [int64] [i64] [value] "int64"; $($r)*); };
    (@field $h:tt $s:tt $f:tt; $tag:tt $n:ident : $l:ident uint32 $($r:tt)*) => {
        message!(@label $h $s $f; $tag $n $l [uint32] [u32] [value] "uint32"; $($r)*); };
    (@field $h:tt $s:tt $f:tt; $tag:tt $n:ident : $l:ident uint64 $($r:tt)*) => {
        message!(@label $h $s $f; $tag $n $l [uint64] [u64] [value] "uint64"; $($r)*); };
    (@field $h:tt $s:tt $f:tt; $tag:tt $n:ident : $l:ident enum $t:ident $($r:tt)*) => {
        message!(@label $h $s $f; $tag $n $l [enumeration($t)] [i32] [enumeration $t] "enum"; $($r)*); };
    (@field $h:tt $s:tt $f:tt; $tag:tt $n:ident : $l:ident boxed $t:ident $($r:tt)*) => {
        message!(@label $h $s $f; $tag $n $l [message, boxed] [Box<$t>] [value] "message"; $($r)*); };
    (@field $h:tt $s:tt $f:tt; $tag:tt $n:ident : rep map $t:ident , $($r:tt)*) => {
        message!(@map $h $s $f; $tag $n $t; $($r)*); };
    (@field $h:tt $s:tt $f:tt; $tag:tt $n:ident : $l:ident $t:ident $($r:tt)*) => {
        message!(@label $h $s $f; $tag $n $l [message] [$t] [value] "message"; $($r)*); };

    // Labels: the struct field, and the entry for JSON and facts.
    (@label $h:tt [$($s:tt)*] [$($f:tt)*]; $tag:tt $n:ident req [$($k:tt)*] [$t:ty] $j:tt $kind:literal; $(= $d:tt)? , $($r:tt)*) => {
        message!(@field $h
            [$($s)* #[prost($($k)*, required $(, default = $d)?, tag = $tag)] pub $n: $t,]
            [$($f)* ($tag $n req $j [] $kind)]; $($r)*); };
    (@label $h:tt [$($s:tt)*] [$($f:tt)*]; $tag:tt $n:ident opt [$($k:tt)*] [$t:ty] $j:tt $kind:literal; $(= $d:tt)? , $($r:tt)*) => {
        message!(@field $h
            [$($s)* #[prost($($k)*, optional $(, default = $d)?, tag = $tag)] pub $n: Option<$t>,]
            [$($f)* ($tag $n opt $j [$($d)?] $kind)]; $($r)*); };
    (@label $h:tt [$($s:tt)*] [$($f:tt)*]; $tag:tt $n:ident rep [uint32] [$t:ty] $j:tt $kind:literal; , $($r:tt)*) => {
        message!(@field $h
            [$($s)* #[prost(uint32, repeated, packed = false, tag = $tag)] pub $n: Vec<$t>,]
            [$($f)* ($tag $n rep $j [] $kind)]; $($r)*); };
    (@label $h:tt [$($s:tt)*] [$($f:tt)*]; $tag:tt $n:ident rep [enumeration($e:ident)] [$t:ty] $j:tt $kind:literal; , $($r:tt)*) => {
        message!(@field $h
            [$($s)* #[prost(enumeration($e), repeated, packed = false, tag = $tag)] pub $n: Vec<$t>,]
            [$($f)* ($tag $n rep $j [] $kind)]; $($r)*); };
    (@label $h:tt [$($s:tt)*] [$($f:tt)*]; $tag:tt $n:ident rep [$($k:tt)*] [$t:ty] $j:tt $kind:literal; , $($r:tt)*) => {
        message!(@field $h
            [$($s)* #[prost($($k)*, repeated, tag = $tag)] pub $n: Vec<$t>,]
            [$($f)* ($tag $n rep $j [] $kind)]; $($r)*); };
    (@map $h:tt [$($s:tt)*] [$($f:tt)*]; $tag:tt $n:ident $t:ident; $($r:tt)*) => {
        message!(@field $h
            [$($s)* #[prost(btree_map = "string, message", tag = $tag)]
                pub $n: ::std::collections::BTreeMap<String, $t>,]
            [$($f)* ($tag $n rep [map] [] "message")]; $($r)*); };

    // All fields read.
    (@field [$(#[$meta:meta])* $name:ident $proto:literal] [$($s:tt)*]
            [$(($tag:tt $n:ident $l:ident $j:tt $d:tt $kind:literal))*];) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, ::prost::Message)]
        pub struct $name { $($s)* }

        impl $crate::json::JsonValue for $name {
            fn to_json(&self) -> ::serde_json::Value {
                #[allow(unused_mut, reason = "a message may have no fields")]
                let mut object = ::serde_json::Map::new();
                $( json_put!(object, self.$n, $crate::table::plain_name(stringify!($n)), $l, $j, $d); )*
                ::serde_json::Value::Object(object)
            }
            fn from_json(json: &::serde_json::Value) -> Result<Self, $crate::json::JsonError> {
                #[allow(unused_variables, reason = "a message may have no fields")]
                let object = $crate::json::object(json, $proto)?;
                #[allow(unused_mut, reason = "a message may have no fields")]
                let mut message = Self::default();
                $( json_take!(object, message.$n, $proto, $crate::table::plain_name(stringify!($n)), $l, $j); )*
                Ok(message)
            }
        }

        impl $name {
            /// Every field of the message, in table order.
            pub const FACTS: &'static [$crate::table::FieldFact] = &[$(
                $crate::table::FieldFact {
                    owner: $proto, name: stringify!($n), number: $tag, label: stringify!($l), kind: $kind,
                },
            )*];
        }
    };
}

macro_rules! enumeration {
    ($( $(#[$meta:meta])* $name:ident = $proto:literal { $($variant:ident $text:literal = $number:literal),* $(,)? } )*) => { $(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ::prost::Enumeration)]
        #[repr(i32)]
        pub enum $name { $($variant = $number),* }

        impl $name {
            /// The name on the JSON wire and in Mesos' own texts.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
            /// The value of this wire name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)* _ => None }
            }
            /// Every value, in table order.
            pub const FACTS: &'static [$crate::table::FieldFact] = &[$(
                $crate::table::FieldFact {
                    owner: $proto, name: $text, number: $number, label: "enum", kind: "",
                },
            )*];
        }

        impl $crate::json::JsonEnum for $name {
            fn number_to_json(number: i32) -> Option<::serde_json::Value> {
                Self::try_from(number).ok().map(|value| value.name().into())
            }
            fn number_from_json(json: &::serde_json::Value) -> Option<i32> {
                json.as_str().and_then(Self::from_name).map(i32::from)
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.name())
            }
        }
    )* };
}

macro_rules! json_put {
    ($o:ident, $v:expr, $n:expr, req, [value], $d:tt) => {
        $o.insert($n.into(), $crate::json::JsonValue::to_json(&$v));
    };
    ($o:ident, $v:expr, $n:expr, opt, [value], []) => {
        if let Some(value) = &$v {
            $o.insert($n.into(), $crate::json::JsonValue::to_json(value));
        }
    };
    // Mesos prints unset fields that have an explicit default.
    ($o:ident, $v:expr, $n:expr, opt, [value], [$d:literal]) => {
        $o.insert(
            $n.into(),
            match &$v {
                Some(value) => $crate::json::JsonValue::to_json(value),
                None => ::serde_json::Value::from($d),
            },
        );
    };
    ($o:ident, $v:expr, $n:expr, rep, [value], $d:tt) => {
        if !$v.is_empty() {
            let values = $v.iter().map($crate::json::JsonValue::to_json).collect();
            $o.insert($n.into(), ::serde_json::Value::Array(values));
        }
    };
    ($o:ident, $v:expr, $n:expr, rep, [map], $d:tt) => {
        if !$v.is_empty() {
            let entries = $v.iter().map(|(k, v)| (k.clone(), $crate::json::JsonValue::to_json(v)));
            $o.insert($n.into(), ::serde_json::Value::Object(entries.collect()));
        }
    };
    ($o:ident, $v:expr, $n:expr, req, [enumeration $t:ident], $d:tt) => {
        if let Some(name) = <$t as $crate::json::JsonEnum>::number_to_json($v) {
            $o.insert($n.into(), name);
        }
    };
    ($o:ident, $v:expr, $n:expr, opt, [enumeration $t:ident], $d:tt) => {
        if let Some(name) = $v.and_then(<$t as $crate::json::JsonEnum>::number_to_json) {
            $o.insert($n.into(), name);
        }
    };
    ($o:ident, $v:expr, $n:expr, rep, [enumeration $t:ident], $d:tt) => {
        if !$v.is_empty() {
            let names =
                $v.iter().filter_map(|v| <$t as $crate::json::JsonEnum>::number_to_json(*v));
            $o.insert($n.into(), ::serde_json::Value::Array(names.collect()));
        }
    };
}

macro_rules! json_take {
    ($o:ident, $v:expr, $p:literal, $n:expr, req, [value]) => {
        $v = $crate::json::required($o, $p, $n)?;
    };
    ($o:ident, $v:expr, $p:literal, $n:expr, opt, [value]) => {
        $v = $crate::json::optional($o, $p, $n)?;
    };
    ($o:ident, $v:expr, $p:literal, $n:expr, rep, [value]) => {
        $v = $crate::json::repeated($o, $p, $n)?;
    };
    ($o:ident, $v:expr, $p:literal, $n:expr, rep, [map]) => {
        $v = $crate::json::map($o, $p, $n)?;
    };
    ($o:ident, $v:expr, $p:literal, $n:expr, req, [enumeration $t:ident]) => {
        $v = $crate::json::required_enum::<$t>($o, $p, $n)?;
    };
    // An unknown name of an optional enum is ignored, as Mesos does.
    ($o:ident, $v:expr, $p:literal, $n:expr, opt, [enumeration $t:ident]) => {
        $v = $o.get($n).and_then(<$t as $crate::json::JsonEnum>::number_from_json);
    };
}
