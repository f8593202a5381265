//! How messages are written and read: as Prost does it, in little memory.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::{ProstDecoder, ProstEncoder};

/// What the messages of a login fit in. Longer ones are given more. tonic's own 8 KiB, for each
/// direction of each stream, would be most of what an open login costs.
const BUFFER: usize = 1024;

/// How much is written at once: tonic's own.
const YIELD_THRESHOLD: usize = 32 * 1024;

/// Prost's codec with small buffers.
pub(crate) struct SmallCodec<T, U>(PhantomData<fn(U) -> T>);

impl<T, U> Default for SmallCodec<T, U> {
    fn default() -> Self {
        SmallCodec(PhantomData)
    }
}

impl<T, U> Codec for SmallCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(settings())
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstDecoder::new(settings())
    }
}

fn settings() -> BufferSettings {
    BufferSettings::new(BUFFER, YIELD_THRESHOLD)
}
