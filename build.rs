//! Compiles the protocol with a compiler written in Rust, so that no `protoc` is needed.

use std::{error::Error, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new("proto");
    let files =
        ["v1", "v2"].map(|version| root.join(format!("approzium/{version}/authenticator.proto")));
    println!("cargo::rerun-if-changed=proto");
    let descriptors = protox::compile(files, [root])?;
    // The library's own has a codec of its own, which nobody else has: tests speak by tonic's.
    let own = Path::new(&std::env::var("OUT_DIR")?).join("own");
    std::fs::create_dir_all(&own)?;
    generated()
        .out_dir(own)
        .codec_path("crate::proto::codec::SmallCodec")
        .compile_fds(descriptors.clone())?;
    generated().compile_fds(descriptors)?;
    Ok(())
}

fn generated() -> tonic_prost_build::Builder {
    tonic_prost_build::configure()
        // Written by hand in src/proto.rs, without what is secret.
        .skip_debug([
            "approzium.authenticator.protos.AWSIdentity",
            "approzium.authenticator.protos.MYSQLSHA1Response",
            "approzium.authenticator.protos.PGMD5Response",
            "approzium.authenticator.protos.PGSHA256HashRequest",
            "approzium.authenticator.protos.PGSHA256Response",
            "approzium.v2.AwsProof",
            "approzium.v2.HandshakeStart",
            "approzium.v2.Md5Response",
            "approzium.v2.Outcome.Succeeded",
            "approzium.v2.ScramClientFinal",
            "approzium.v2.SessionGrant",
        ])
        .build_client(true)
        .build_server(std::env::var_os("CARGO_FEATURE_AUTHENTICATOR").is_some())
}
