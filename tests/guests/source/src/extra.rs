//! What no contract knows: an export of the vendor's own. A host has no use for it and never calls it.

wit_bindgen::generate!({
    inline: "
        package vendor:private;
        interface extra { surprise: func() -> u32; }
        world more { export extra; }
    ",
    world: "more",
});

struct Surprise;
export!(Surprise);

impl exports::vendor::private::extra::Guest for Surprise {
    fn surprise() -> u32 {
        panic!("somebody called what is not in the contract")
    }
}
