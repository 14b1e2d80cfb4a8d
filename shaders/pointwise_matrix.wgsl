// dst[p, o] = act(bias[o] + sum over i of src[p, i] * weights[i, o]): a 1x1 convolution.
// One subgroup computes SIZE consecutive pixels of TILES * SIZE channels by cooperative matrices of SIZE x SIZE; they begin
// as the bias and end as f32 in workgroup memory, from where its workgroup stores them.

enable wgpu_cooperative_matrix;

alias Scalar = f32;                // storage; sums are f32
alias Left = coop_mat8x8<f32, A>;  // of src
alias Right = coop_mat8x8<f32, B>; // of weights
alias Sum = coop_mat8x8<f32, C>;   // of dst
const SIZE: u32 = 8u;              // rows and columns of a matrix
const PIXELS: u32 = 9u;            // of one picture's map
const SRC_C: u32 = 16u;            // channels read
const DST_C: u32 = 24u;            // channels written
const TILES: u32 = 2u;             // matrices side by side
const ROWS: u32 = 4u;              // tiles of a workgroup, whatever its subgroups
const WIDE: u32 = TILES * SIZE;    // channels of a tile
const_assert PIXELS >= SIZE && SRC_C % SIZE == 0u && DST_C % SIZE == 0u && DST_C >= WIDE && TILES >= 1u;

@group(0) @binding(0) var<storage, read> src: array<Scalar>;             // [batch, PIXELS, SRC_C]
@group(0) @binding(1) var<storage, read> weights: array<Scalar>;         // [SRC_C, DST_C]
@group(0) @binding(2) var<storage, read> bias: array<f32>;               // [DST_C]
@group(0) @binding(3) var<storage, read_write> dst: array<Scalar>;       // [batch, PIXELS, DST_C]

var<workgroup> tile: array<f32, ROWS * SIZE * WIDE>;                     // [ROWS, SIZE, WIDE]

// max(x, 0), the default, of channel c; NaN passes. Another activation takes its place as a whole.
fn act(x: f32, c: u32) -> f32 {
    let negative = bitcast<u32>(x) - u32(0x80000000u) <= u32(0x7f800000u);
    let y = select(x, f32(0.0), negative);
    return y;
}

@compute @workgroup_size(128)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
) {
    const ACROSS: u32 = (DST_C + WIDE - 1u) / WIDE;
    let id = group.y * groups.x + group.x;
    // What would lie behind the last pixel or channel is computed again with those before it.
    let channel = min(id % ACROSS * WIDE, DST_C - WIDE);
    for (var at = lane; at < ROWS * SIZE * WIDE; at += 128u) {
        tile[at] = bias[channel + at % WIDE];
    }
    workgroupBarrier();
    for (var row = subgroup; row < ROWS; row += subgroups) {
        let pixel = min((id / ACROSS * ROWS + row) * SIZE, PIXELS - SIZE);
        var sum: array<Sum, TILES>;
        for (var t = 0u; t < TILES; t++) {
            sum[t] = coopLoadT<Sum>(&tile[row * SIZE * WIDE + t * SIZE], WIDE);
        }
        for (var i = 0u; i < SRC_C; i += SIZE) {
            let left = coopLoadT<Left>(&src[(group.z * PIXELS + pixel) * SRC_C + i], SRC_C);
            for (var t = 0u; t < TILES; t++) {
                let right = coopLoadT<Right>(&weights[i * DST_C + channel + t * SIZE], DST_C);
                sum[t] = coopMultiplyAdd(left, right, sum[t]);
            }
        }
        for (var t = 0u; t < TILES; t++) {
            coopStoreT(sum[t], &tile[row * SIZE * WIDE + t * SIZE], WIDE);
        }
    }
    workgroupBarrier();
    for (var at = lane; at < ROWS * SIZE * WIDE; at += 128u) {
        let row = at / (SIZE * WIDE);
        let pixel = min((id / ACROSS * ROWS + row) * SIZE, PIXELS - SIZE) + at / WIDE % SIZE;
        dst[(group.z * PIXELS + pixel) * DST_C + channel + at % WIDE] = Scalar(act(tile[at], channel + at % WIDE));
    }
}
