//! The derives of a state.

use syn::punctuated::Punctuated;
use syn::{Attribute, Path, Token, parse_quote};

type Paths = Punctuated<Path, Token![,]>;

/// `prost::Message` brings `Default` along; a state that lists both is meant well and would not compile. The second one is
/// left out.
pub(crate) fn single_default(attributes: &mut [Attribute]) {
    let derives_message = attributes.iter().filter_map(derived).flatten().any(|path| {
        let segments: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        matches!(
            segments.iter().map(String::as_str).collect::<Vec<_>>().as_slice(),
            ["Message"] | [.., "prost", "Message"]
        )
    });
    if !derives_message {
        return;
    }
    for attribute in attributes {
        let Some(paths) = derived(attribute) else { continue };
        let kept: Vec<_> = paths.iter().filter(|path| !is_default(path)).collect();
        if kept.len() < paths.len() {
            *attribute = parse_quote!(#[derive(#(#kept),*)]);
        }
    }
}

fn derived(attribute: &Attribute) -> Option<Paths> {
    if !attribute.path().is_ident("derive") {
        return None;
    }
    attribute.parse_args_with(Paths::parse_terminated).ok()
}

fn is_default(path: &Path) -> bool {
    path.segments.last().is_some_and(|last| last.ident == "Default")
}

#[cfg(test)]
mod tests {
    use quote::ToTokens as _;

    use super::*;

    fn after(mut item: syn::ItemStruct) -> String {
        single_default(&mut item.attrs);
        item.attrs.iter().map(|attribute| attribute.to_token_stream().to_string()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn default_beside_message_goes() {
        let item = parse_quote!(
            #[derive(Clone, Default, PartialEq, prost::Message)]
            struct A {}
        );
        assert_eq!(after(item), "# [derive (Clone , PartialEq , prost :: Message)]");
        let item = parse_quote!(
            #[derive(Default)]
            #[must_use]
            #[derive(Message)]
            struct A {}
        );
        assert_eq!(after(item), "# [derive ()] # [must_use] # [derive (Message)]");
    }

    #[test]
    fn default_alone_stays() {
        let item = parse_quote!(
            #[derive(Clone, Default)]
            struct A {}
        );
        assert_eq!(after(item), "# [derive (Clone , Default)]");
        let item = parse_quote!(
            #[derive(Default, other::Message)]
            struct A {}
        );
        assert_eq!(after(item), "# [derive (Default , other :: Message)]");
    }
}
