//! The two written forms of an identity: collectd's own, and the one of Coco 1.x's blacklist.
//!
//! Not here: Graphite names (they depend on a dozen options of the plugin that writes them).

use super::Identity;

/// Appends `host/plugin[-instance]/type[-instance]` to `out`, as collectd 5.12 writes it after its
/// own treatment of slashes: in each field a leading `/` goes, any other becomes `_`, and a field
/// that is only `/` becomes `root`. Two different identities can have one identifier.
pub fn identifier(identity: &Identity<'_>, out: &mut Vec<u8>) {
    push_field(identity.host, out);
    for (name, instance) in
        [(identity.plugin, identity.plugin_instance), (identity.type_, identity.type_instance)]
    {
        out.push(b'/');
        push_field(name, out);
        if !instance.is_empty() {
            out.push(b'-');
            push_field(instance, out);
        }
    }
}

/// Appends `host/plugin/plugin_instance/type/type_instance` to `out`: empty names left out, bytes
/// as they are. Coco 1.x matches its blacklist against this form.
pub fn filter_path(identity: &Identity<'_>, out: &mut Vec<u8>) {
    let Identity { host, plugin, plugin_instance, type_, type_instance } = *identity;
    let start = out.len();
    for name in [host, plugin, plugin_instance, type_, type_instance] {
        if name.is_empty() {
            continue;
        }
        if out.len() > start {
            out.push(b'/');
        }
        out.extend_from_slice(name);
    }
}

fn push_field(field: &[u8], out: &mut Vec<u8>) {
    if field == b"/" {
        out.extend_from_slice(b"root");
        return;
    }
    let field = field.strip_prefix(b"/").unwrap_or(field);
    out.extend(field.iter().map(|byte| if *byte == b'/' { b'_' } else { *byte }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(host: &str, plugin: [&str; 2], type_: [&str; 2]) -> [String; 2] {
        let identity = Identity {
            host: host.as_bytes(),
            plugin: plugin[0].as_bytes(),
            plugin_instance: plugin[1].as_bytes(),
            type_: type_[0].as_bytes(),
            type_instance: type_[1].as_bytes(),
        };
        [identifier, filter_path].map(|write| {
            let mut out = Vec::new();
            write(&identity, &mut out);
            String::from_utf8(out).unwrap()
        })
    }

    #[test]
    fn empty_instances_leave_no_mark() {
        assert_eq!(written("h", ["load", ""], ["load", ""]), ["h/load/load", "h/load/load"]);
        assert_eq!(written("h", ["p", ""], ["t", "i"]), ["h/p/t-i", "h/p/t/i"]);
        assert_eq!(written("h", ["p", "a"], ["t", "i"]), ["h/p-a/t-i", "h/p/a/t/i"]);
        assert_eq!(written("", ["", ""], ["", ""]), ["//", ""]);
    }

    #[test]
    fn slashes_become_what_collectd_makes_of_them() {
        assert_eq!(
            written("/a/b", ["df", "/"], ["/t", "//x/"]),
            ["a_b/df-root/t-_x_", "/a/b/df////t///x/"]
        );
    }
}
