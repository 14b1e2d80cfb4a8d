//! What a device allows.

/// What devices have in common that decides which forms suit them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Class {
    /// A GPU with memory of its own: many processors, which need many workgroups.
    Discrete,
    /// A GPU that shares the processor's memory.
    Integrated,
    /// Apple's own.
    Apple,
    /// A phone's.
    Mobile,
    /// Shaders that run on the processor, where every load is dear.
    Software,
}

/// What a device allows, and how much it is expected to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one storage binding.
    pub binding: u64,
    /// Bytes of one buffer.
    pub buffer: u64,
    /// Workgroups in each dimension of a grid.
    pub workgroups: u32,
    /// Multiply-adds in a second, roughly: larger batches are cut so that no submit runs for long.
    pub macs_per_second: u64,
    /// Bytes of workgroup memory.
    pub shared: usize,
    /// Storage buffers that one shader may bind.
    pub storage_buffers: usize,
    /// Lanes of every subgroup; 0 where there are none, or where they vary.
    pub subgroup: usize,
    /// Rows and columns of its cooperative matrices, of products of f16 with sums in f32; 0 unless they were
    /// [asked for](crate::Device::with_matrices).
    pub matrix: usize,
    /// Which forms suit it.
    pub class: Class,
}

impl Limits {
    /// The least that WebGPU promises, of a slow device; but no more storage buffers than OpenGL ES 3.1 promises.
    pub const LEAST: Limits = Limits {
        binding: 128 << 20,
        buffer: 256 << 20,
        workgroups: 65_535,
        macs_per_second: 5_000_000_000,
        shared: 16 << 10,
        storage_buffers: 4,
        subgroup: 0,
        matrix: 0,
        class: Class::Integrated,
    };
}
