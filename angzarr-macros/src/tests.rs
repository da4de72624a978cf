//! What attributes become, and what they say: on plain tokens, without a compiler.
//!
//! `tests/output/NAME.rs` is what `tests/input/NAME.rs` becomes. `UPDATE_EXPANSIONS=1 cargo test -p angzarr-macros` writes them
//! anew; read what changed.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, quote};

use crate::diagnostics::Diagnostics;
use crate::{expand, parse, validate};

/// Expands every item of a file whose first attribute is one of ours.
fn expand_file(source: &str) -> TokenStream {
    let file = syn::parse_file(source).expect("the input is Rust");
    file.items.iter().map(expand_item).collect()
}

fn expand_item(item: &syn::Item) -> TokenStream {
    let tokens = item.to_token_stream();
    let (attribute, rest) = first_attribute(tokens.clone());
    let Some(attribute) = attribute else { return tokens };
    let arguments = match &attribute.meta {
        syn::Meta::List(list) => list.tokens.clone(),
        _ => TokenStream::new(),
    };
    match attribute.path().to_token_stream().to_string().as_str() {
        "aggregate" => expand::aggregate(arguments, rest),
        "saga" => expand::saga(arguments, rest),
        "process_manager" => expand::process_manager(arguments, rest),
        "projector" => expand::projector(arguments, rest),
        "upcaster" => expand::upcaster(arguments, rest),
        "derive" if arguments.to_string() == "Events" => {
            let generated = expand::events(rest.clone());
            quote!(#rest #generated)
        }
        _ => tokens,
    }
}

/// Our attribute, wherever it stands among the others, and the item without it.
fn first_attribute(tokens: TokenStream) -> (Option<syn::Attribute>, TokenStream) {
    let mut trees: Vec<TokenTree> = tokens.into_iter().collect();
    let ours = |group: &str| {
        ["aggregate", "saga", "process_manager", "projector", "upcaster", "derive (Events)"]
            .iter()
            .any(|name| group.starts_with(name))
    };
    let index = trees.iter().position(|tree| match tree {
        TokenTree::Group(group) => ours(&group.stream().to_string()),
        _ => false,
    });
    // Only attributes of the item itself: a `#` before the brackets, nothing but attributes before that.
    let Some(index) = index.filter(|index| index % 2 == 1) else { return (None, trees.into_iter().collect()) };
    let attribute: TokenStream = trees.drain(index - 1..=index).collect();
    let attribute = syn::parse::Parser::parse2(syn::Attribute::parse_outer, attribute).expect("an attribute");
    (attribute.into_iter().next(), trees.into_iter().collect())
}

#[test]
fn expansions_are_as_reviewed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut wrong = Vec::new();
    let mut names: Vec<_> = fs::read_dir(root.join("input"))
        .expect("tests/input")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    assert!(!names.is_empty());
    for name in names {
        let input = fs::read_to_string(root.join("input").join(&name)).expect("an input");
        let expanded = expand_file(&input);
        let file = pretty(&expanded);
        let output = root.join("output").join(&name);
        if std::env::var_os("UPDATE_EXPANSIONS").is_some() {
            fs::write(&output, &file).expect("an output");
        } else if fs::read_to_string(&output).unwrap_or_default() != file {
            wrong.push(name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?} expand otherwise than reviewed: UPDATE_EXPANSIONS=1 writes them anew");
}

fn pretty(tokens: &TokenStream) -> String {
    prettyplease::unparse(&syn::parse2(tokens.clone()).unwrap_or_else(|error| panic!("{error}: {tokens}")))
}

#[test]
fn every_mistake_of_an_item_is_told_at_once() {
    let mut diagnostics = Diagnostics::default();
    let arguments = quote!(domain = "Account", snapshot(every = 0), merge = Strict);
    let item = quote! {
        impl Account {
            #[handler(merge = Comutative)]
            async fn open(&mut self, ctx: &EventContext, cmd: &mut Open) -> Opened {}
            #[apply]
            fn opened(self, e: (A, B)) -> bool {}
            #[rejected]
            fn refused(&self) {}
        }
    };
    let parsed = parse::aggregate(arguments, item, &mut diagnostics);
    assert!(parsed.model.is_some(), "as much of the model as could be read");
    assert!(!parsed.item.to_string().contains("handler"), "no marker is left: {}", parsed.item);
    let texts = diagnostics.texts();
    let expected = [
        "knows no key `merge`",
        "`Account` cannot be a domain",
        "`every = 0`",
        "there is no merge strategy `Comutative`",
        "is `async`",
        "takes `&mut self`",
        "takes the command by `&mut`",
        "takes `EventContext`",
        "before the command",
        "returns `Opened`",
        "takes `self`",
        "takes `(A, B)` for its event",
        "returns `bool`",
        "takes no rejected command",
        "`refused` returns nothing",
    ];
    for part in expected {
        assert!(texts.iter().any(|text| text.contains(part)), "nobody says {part:?} in {texts:#?}");
    }
    assert_eq!(texts.len(), expected.len(), "{texts:#?}");
    for text in texts {
        assert!(text.contains("\n= note: ") && text.contains("\n= help: "), "three parts: {text}");
    }
}

#[test]
fn the_second_of_two_handlers_is_told_and_left_out() {
    let mut diagnostics = Diagnostics::default();
    let item = quote! {
        impl Account {
            #[handler] fn one(&self, cmd: Open) -> Result<(), Rejection> {}
            #[handler] fn two(&self, cmd: Open) -> Result<(), Rejection> {}
            #[cfg(a)] #[handler] fn three(&self, cmd: Open) -> Result<(), Rejection> {}
        }
    };
    let parsed = parse::aggregate(TokenStream::new(), item, &mut diagnostics);
    let Some(parse::AggregateItem::Block(mut block)) = parsed.model else { panic!("a block") };
    validate::aggregate_block(&mut block, &mut diagnostics);
    let names: Vec<_> = block.handlers.iter().map(|handler| handler.about.ident.to_string()).collect();
    assert_eq!(names, ["one", "three"], "the compiler decides about handlers under a cfg");
    assert!(diagnostics.texts().first().is_some_and(|text| text.contains("in `one` and in `two`")));
}

#[test]
fn every_mistake_of_a_process_manager_is_told_at_once() {
    let mut diagnostics = Diagnostics::default();
    let arguments =
        quote!(domain = "Checkout", from = [Order, "payment", Order], to = Shipping, snapshot(every = 0), remote);
    let item = quote! {
        impl Checkout {
            #[handler]
            async fn placed(&mut self, ctx: &CommandContext, e: &mut OrderPlaced) -> (Reaction, Reaction) {}
            #[timeout(late)]
            fn late(self, e: OrderPlaced) {}
            #[rejected(from = "payment")]
            fn refused(&self) -> Reaction {}
            #[compensate]
            fn undo(&self, c: Compensate) -> Result<(), Revocation> {}
        }
    };
    let parsed = parse::process_manager(arguments, item, &mut diagnostics);
    assert!(parsed.model.is_some(), "as much of the model as could be read");
    let texts = diagnostics.texts();
    let expected = [
        "a process manager has no `#[compensate]`",
        "knows no key `remote`",
        "`Checkout` cannot be a domain",
        "`from` lists the types of aggregates, not strings",
        "`Order` is listed twice",
        "`to` is not a list",
        "`every = 0`",
        "is `async`",
        "takes `&mut self`",
        "takes the event by `&mut`",
        "takes `CommandContext`",
        "before the event",
        "returns `(Reaction, Reaction)`",
        "`late` is not the name of a timeout",
        "takes `self`",
        "takes `e : OrderPlaced`",
        "`late` returns nothing",
        "`from` is the type of an aggregate, not a string",
        "takes no rejected command",
    ];
    for part in expected {
        assert!(texts.iter().any(|text| text.contains(part)), "nobody says {part:?} in {texts:#?}");
    }
    assert_eq!(texts.len(), expected.len(), "{texts:#?}");
}

#[test]
fn of_two_methods_for_one_purpose_the_second_is_left_out() {
    let mut diagnostics = Diagnostics::default();
    let item = quote! {
        impl Checkout {
            #[handler] fn one(&self, e: OrderPlaced) -> Reaction {}
            #[handler] fn two(&self, e: OrderPlaced) -> Reaction {}
            #[timeout("payment")] fn three(&self) -> Reaction {}
            #[timeout("payment")] fn four(&self) -> Reaction {}
            #[timeout("delivery")] fn five(&self) -> Reaction {}
            #[rejected] fn six(&self, r: Rejected<Take>) -> Reaction {}
            #[rejected(from = Payment)] fn seven(&self, r: Rejected<Take>) -> Reaction {}
            #[rejected(domain = "payment")] fn eight(&self, r: Rejected<Take>) -> Reaction {}
            #[rejected(from = Payment)] fn nine(&self, r: Rejected<Take>) -> Reaction {}
        }
    };
    let parsed = parse::process_manager(TokenStream::new(), item, &mut diagnostics);
    let Some(parse::ProcessManagerItem::Block(mut block)) = parsed.model else { panic!("a block") };
    validate::process_manager_block(&mut block, &mut diagnostics);
    let handlers: Vec<_> = block.handlers.iter().map(|it| it.about.ident.to_string()).collect();
    let timeouts: Vec<_> = block.timeouts.iter().map(|it| it.about.ident.to_string()).collect();
    let rejections: Vec<_> = block.rejections.iter().map(|it| it.about.ident.to_string()).collect();
    assert_eq!(handlers, ["one"]);
    assert_eq!(timeouts, ["three", "five"]);
    assert_eq!(rejections, ["six", "seven", "eight"], "that `Payment` is \"payment\" is known to the registry only");
    let texts = diagnostics.texts();
    for part in [
        "`OrderPlaced` twice: in `one` and in `two`",
        "`#[timeout(\"payment\")]`: `three` and `four`",
        "by `Payment` twice: in `seven` and in `nine`",
    ] {
        assert!(texts.iter().any(|text| text.contains(part)), "nobody says {part:?} in {texts:#?}");
    }
    assert_eq!(texts.len(), 3);
}

#[test]
fn an_aggregate_compensates_once_and_takes_a_fact_once() {
    let mut diagnostics = Diagnostics::default();
    let item = quote! {
        impl Order {
            #[compensate] fn one(&self, c: Compensate) -> Result<(), Revocation> {}
            #[compensate] fn two(&self, c: Compensate) -> Result<(), Revocation> {}
            #[fact] fn three(&self, f: Delivered) -> () {}
            #[fact] fn four(&self, f: Delivered) -> () {}
        }
    };
    let parsed = parse::aggregate(TokenStream::new(), item, &mut diagnostics);
    let Some(parse::AggregateItem::Block(mut block)) = parsed.model else { panic!("a block") };
    validate::aggregate_block(&mut block, &mut diagnostics);
    assert_eq!((block.compensations.len(), block.facts.len()), (1, 1));
    let texts = diagnostics.texts();
    assert!(texts.iter().any(|text| text.contains("two `#[compensate]`: `one` and `two`")), "{texts:#?}");
    assert!(texts.iter().any(|text| text.contains("two `#[fact]` for `Delivered`: `three` and `four`")), "{texts:#?}");
}

#[test]
fn tokens_that_are_no_item_come_out_as_they_went_in() {
    let garbage = TokenStream::from_str("struct ; 5").expect("tokens");
    assert!(expand::aggregate(TokenStream::new(), garbage).to_string().starts_with("struct ; 5"));
}
