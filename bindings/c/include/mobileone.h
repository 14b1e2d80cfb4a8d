/* mobileone: image classification with MobileOne, on any GPU and on the CPU. Made by cbindgen from bindings/c/src; do
 * not edit.
 *
 * Handles are numbers; 0 is none. One that was closed, was never given out, or is of another kind gives
 * MOBILEONE_INVALID_HANDLE, never a crash. Close those that you open.
 *
 * Statuses: 0 is MOBILEONE_OK. For any other but MOBILEONE_NOT_READY, mobileone_last_error() has a line that says what is
 * wrong. Results are written where the status is MOBILEONE_OK; a handle that could not be had is 0.
 *
 * Pointers must be null or lead to what the function says, aligned as C aligns it, for as long as the call runs; null
 * where it may not be gives MOBILEONE_INVALID_ARGUMENT. Nothing of the caller's is kept but what mobileone_set_log is
 * given, and nothing that comes back is the caller's to free. Texts are UTF-8.
 *
 * Structs begin with `size`: set it to sizeof the struct and everything else to 0, then what is wanted. Newer versions
 * add to their ends only.
 *
 * Threads: any function may be called from any thread, several at once, with any handles. Calls of one session that wait
 * share it: the device runs them one after the other. A ticket is in use by one call at a time; another one gives
 * MOBILEONE_BUSY. The last error is a thread's own. The function given to mobileone_set_log calls nothing that gives a
 * status: that gives MOBILEONE_BUSY, on its own thread, until it has returned. A process that was forked off after the
 * first call gets MOBILEONE_FORKED. Do not call from a signal handler, and do not unload the library. */


#ifndef MOBILEONE_H
#define MOBILEONE_H

#include <stddef.h>
#include <stdint.h>

/// The version of this ABI: it grows when something is added. What is there stays as it is.
#define MOBILEONE_ABI_VERSION 4

/// A GPU with memory of its own.
#define MOBILEONE_DEVICE_DISCRETE 0

/// A GPU that shares the processor's memory.
#define MOBILEONE_DEVICE_INTEGRATED 1

/// A GPU inside a virtual machine.
#define MOBILEONE_DEVICE_VIRTUAL 2

/// Something else that calls itself a GPU.
#define MOBILEONE_DEVICE_OTHER 3

/// A GPU emulated on the processor; far slower than the CPU.
#define MOBILEONE_DEVICE_SOFTWARE 4

/// This library's own executor on the processor.
#define MOBILEONE_DEVICE_CPU 5

/// 4 bytes a pixel, red first; the fourth is ignored.
#define MOBILEONE_FORMAT_RGBA8 0

/// 4 bytes a pixel, blue first; the fourth is ignored.
#define MOBILEONE_FORMAT_BGRA8 1

/// A plane of luma, and a plane of Cb and Cr side by side for every 2x2 pixels.
#define MOBILEONE_FORMAT_NV12 2

/// Y, Cb, Y, Cr for every two pixels of a row.
#define MOBILEONE_FORMAT_YUYV 3

/// The bytes of a picture's file: JPEG, PNG, WebP, BMP, or a GIF's first frame; turned upright as its EXIF data says, alpha
/// laid over white. `width`, `height` and `stride` are 0: the file knows them. One of which a part is damaged is read all the
/// same, and the log has a line. A library that was built without the feature `image` gives MOBILEONE_OPTION.
#define MOBILEONE_FORMAT_FILE 4

/// The picture is upright.
#define MOBILEONE_ROTATION_NONE 0

/// A quarter turn clockwise brings it upright.
#define MOBILEONE_ROTATION_QUARTER 1

/// It is upside down.
#define MOBILEONE_ROTATION_HALF 2

/// A quarter turn counter-clockwise brings it upright.
#define MOBILEONE_ROTATION_THREE_QUARTERS 3

/// Standard definition, JPEG, most webcams.
#define MOBILEONE_MATRIX_BT601 0

/// High definition, most phones.
#define MOBILEONE_MATRIX_BT709 1

/// Luma is 16 to 235, chroma 16 to 240.
#define MOBILEONE_RANGE_LIMITED 0

/// Luma and chroma use all 256 values.
#define MOBILEONE_RANGE_FULL 1

/// Nothing.
#define MOBILEONE_LOG_OFF 0

/// What failed.
#define MOBILEONE_LOG_ERROR 1

/// What may be wrong.
#define MOBILEONE_LOG_WARN 2

/// What was opened, and why.
#define MOBILEONE_LOG_INFO 3

/// What the GPU library does.
#define MOBILEONE_LOG_DEBUG 4

/// All of it.
#define MOBILEONE_LOG_TRACE 5

/// Weights and activations in 32 bits.
#define MOBILEONE_DTYPE_F32 0

/// In 16 bits, with sums in 32; on GPUs only.
#define MOBILEONE_DTYPE_F16 1

/// In 16 bits, with sums of at most 32 products in 16; on GPUs only.
#define MOBILEONE_DTYPE_F16_FAST 2

/// The logits come back.
#define MOBILEONE_OUTPUT_LOGITS 1

/// The softmax of the logits comes back.
#define MOBILEONE_OUTPUT_PROBABILITIES 2

/// The features come back.
#define MOBILEONE_OUTPUT_FEATURES 4

/// What became of a call: one of the `MOBILEONE_` statuses. `mobileone_last_error` says more.
typedef int32_t MobileoneStatus;

/// A device, until `mobileone_device_close`. 0 is none.
typedef uint64_t MobileoneDevice;

/// What a device is.
typedef struct {
  /// `sizeof(MobileoneDeviceInfo)`, set by the caller.
  uint32_t size;
  /// A `MOBILEONE_DEVICE_` number.
  uint32_t kind;
  /// `vulkan`, `metal`, `dx12`, `gl` or `cpu`.
  char backend[16];
  /// The adapter's name.
  char name[128];
  /// Driver and version, as the driver says them.
  char driver[128];
  /// Why this one was taken.
  char why[256];
} MobileoneDeviceInfo;

/// Takes a line of the log, in UTF-8, and its level; the line is gone when it returns. Any thread may call it, several at
/// once. It must not throw, nor wait for a thread that may be in a call. While it runs, every call of the same thread that
/// gives a status gives `MOBILEONE_BUSY`, and lines of this library are dropped.
typedef void (*MobileoneLog)(uint32_t level, const char *line, void *user);

/// A session, until `mobileone_session_close`. 0 is none.
typedef uint64_t MobileoneSession;

/// An inference in flight, until its answer or its failure is taken, or `mobileone_cancel`. 0 is none.
typedef uint64_t MobileoneTicket;

/// A model, until `mobileone_model_close`. 0 is none.
typedef uint64_t MobileoneModel;

/// How a file of weights is read, whatever it says itself. All 0 but for the `size` leaves everything to the file; what
/// had to be guessed is a warning in the log.
typedef struct {
  /// `sizeof(MobileoneReading)`, set by the caller.
  uint32_t size;
  /// 0.
  uint32_t reserved;
  /// Which network of a file that holds several: `raw`, `ema`, or its name in the file (UTF-8). Null for the averaged
  /// one (EMA) where there is one.
  const char *weights;
  /// The strides of the stem and of each stage, 1 or 2 each. Null for those that the file says or shows, else the
  /// paper's.
  const uint32_t *strides;
  /// How many strides there are; 5 for a network of four stages.
  size_t strides_count;
  /// The epsilon of every batch normalization; 0 for the file's, else 1e-5.
  double bn_eps;
} MobileoneReading;

/// What a model is.
typedef struct {
  /// `sizeof(MobileoneModelInfo)`, set by the caller.
  uint32_t size;
  /// Rows of an input tensor.
  uint32_t height;
  /// Columns of an input tensor.
  uint32_t width;
  /// Channels of an input tensor.
  uint32_t channels;
  /// Classes: logits of a picture. 0 where there is no classifier.
  uint32_t classes;
  /// Features of a picture.
  uint32_t features;
  /// Weights of the fused network.
  uint64_t parameters;
  /// Multiply-adds for one picture.
  uint64_t macs;
  /// The model's name.
  char name[64];
} MobileoneModelInfo;

/// An output's name, and its size for one picture. A vector has one row and one column.
typedef struct {
  /// `sizeof(MobileoneOutputInfo)`, set by the caller; in an array, the first one's counts for all.
  uint32_t size;
  /// Rows of a map; 1 for a vector.
  uint32_t height;
  /// Columns of a map; 1 for a vector.
  uint32_t width;
  /// Channels of a map, or numbers of a vector.
  uint32_t channels;
  /// The output's name.
  char name[128];
} MobileoneOutputInfo;

/// What a session is made for. All 0 but for the `size` is one picture at a time in f32, and its five best classes;
/// without a classifier, all outputs of the model.
typedef struct {
  /// `sizeof(MobileoneOptions)`, set by the caller.
  uint32_t size;
  /// A `MOBILEONE_DTYPE_` number.
  uint32_t dtype;
  /// The CPU's threads, for this session alone, at most 1024; 0 for those of the device.
  uint32_t threads;
  /// Pictures that one submit takes at most, 4096 or less; 0 for 1. Fewer where the device holds fewer, which
  /// `mobileone_session_batch` says.
  uint32_t batch;
  /// Submits that may be in flight at once, at most 64; 0 for 2.
  uint32_t frames;
  /// The best classes that come back; 0 for 5.
  uint32_t top_k;
  /// What comes back beside them: `MOBILEONE_OUTPUT_` numbers, or-ed. Those of outputs that the model does not have add
  /// nothing.
  uint32_t outputs;
  /// 0.
  uint32_t reserved;
  /// A file for compiled shaders (UTF-8), where the backend can keep them: read, and written when there are new
  /// ones. Null for none.
  const char *cache;
  /// Names of further outputs to bring back, separated by commas (UTF-8): those that `mobileone_model_outputs` lists.
  /// Null for none. A name that the model does not have is `MOBILEONE_OPTION`.
  const char *names;
} MobileoneOptions;

/// A picture in the caller's memory. It is read while the call that takes it runs, and no longer.
typedef struct {
  /// `sizeof(MobileonePicture)`, set by the caller.
  uint32_t size;
  /// A `MOBILEONE_FORMAT_` number.
  uint32_t format;
  /// Pixels in a row; of a file 0.
  uint32_t width;
  /// Rows; of a file 0.
  uint32_t height;
  /// The rows; of NV12 those of luma. The last one may end with its last pixel. Or the file.
  const uint8_t *bytes;
  /// How many bytes there are.
  size_t length;
  /// Bytes from one row to the next; 0 where there are no gaps. A multiple of 4 for 4-byte pixels.
  size_t stride;
  /// NV12: the rows of chroma. Null where they follow those of luma in `bytes`.
  const uint8_t *chroma;
  /// NV12: how many bytes there are at `chroma`.
  size_t chroma_length;
  /// NV12: bytes from one row of chroma to the next; 0 for the same as those of luma.
  size_t chroma_stride;
  /// Left, top, width and height of the part to use, before rotation; all 0 for the whole.
  uint32_t crop[4];
  /// A `MOBILEONE_ROTATION_` number.
  uint32_t rotation;
  /// NV12 and YUYV: a `MOBILEONE_MATRIX_` number.
  uint32_t matrix;
  /// NV12 and YUYV: a `MOBILEONE_RANGE_` number.
  uint32_t range;
  /// 0.
  uint32_t reserved;
} MobileonePicture;

/// One of the best classes.
typedef struct {
  /// The class.
  uint32_t index;
  /// Its softmax.
  float probability;
} MobileoneTop;

/// A buffer of the caller's for the best classes, and how many there are.
typedef struct {
  /// Where to write them, or null where they are not wanted.
  MobileoneTop *values;
  /// For how many there is place.
  size_t capacity;
  /// How many there are; written by every call that gives or would give them.
  size_t count;
} MobileoneTops;

/// A buffer of the caller's for numbers, and how many there are.
typedef struct {
  /// Where to write them, or null where they are not wanted.
  float *values;
  /// For how many there is place.
  size_t capacity;
  /// How many there are; written by every call that gives or would give them.
  size_t count;
} MobileoneFloats;

/// A buffer of the caller's for an output of this name, and how many values there are.
typedef struct {
  /// The output's name (UTF-8), one that `mobileone_session_outputs` lists.
  const char *name;
  /// Where to write the values, or null where they are not wanted: `[batch][channels][height][width]` of a map,
  /// `[batch][channels]` of a vector.
  float *values;
  /// For how many there is place.
  size_t capacity;
  /// How many there are; written by every call that gives or would give them.
  size_t count;
} MobileoneNamed;

/// What comes back of a batch, picture after picture. What the session was not made to give counts 0. Where the caller
/// gave a buffer that is too small, nothing but the counts is written, and the ticket stays open.
typedef struct {
  /// `sizeof(MobileoneAnswer)`, set by the caller.
  uint32_t size;
  /// Pictures.
  uint32_t batch;
  /// The best classes, best first: as many of each picture as the session's `top_k`, or all of them.
  MobileoneTops top;
  /// `[batch][classes]`, before the softmax.
  MobileoneFloats logits;
  /// `[batch][classes]`, the softmax of the logits.
  MobileoneFloats probabilities;
  /// `[batch][features]`, what the classifier reads.
  MobileoneFloats features;
  /// Buffers for outputs by name, or null; logits, probabilities and features have names too. A name that the session
  /// does not give is `MOBILEONE_INVALID_ARGUMENT`.
  MobileoneNamed *named;
  /// Number of these buffers.
  size_t named_count;
} MobileoneAnswer;

/// It is done.
#define MOBILEONE_OK 0

/// The answer has not come yet: poll again. This is no failure, and leaves no message.
#define MOBILEONE_NOT_READY 1

/// All frames are in flight, or the ticket is in use by another thread: take an answer first. Or it was called by the
/// log's function.
#define MOBILEONE_BUSY 2

/// The session is paused.
#define MOBILEONE_PAUSED 3

/// The handle was closed, was never given out, or is of another kind.
#define MOBILEONE_INVALID_HANDLE 4

/// A pointer is null, the `size` of a struct is wrong, or a number has no meaning here.
#define MOBILEONE_INVALID_ARGUMENT 5

/// A buffer of the caller's is too small; how much it takes was written to the count beside it.
#define MOBILEONE_BUFFER_TOO_SMALL 6

/// A file cannot be read, or is not what it says.
#define MOBILEONE_FILE 7

/// The file holds no network that runs here.
#define MOBILEONE_MODEL 8

/// A picture or tensor contradicts itself or does not fit the session.
#define MOBILEONE_INPUT 9

/// An option that is not possible on this device.
#define MOBILEONE_OPTION 10

/// There is no such device.
#define MOBILEONE_NO_DEVICE 11

/// The device failed, was lost, or gave an answer that cannot be one: open it anew.
#define MOBILEONE_DEVICE_FAILURE 12

/// A fault of this library.
#define MOBILEONE_INTERNAL 13

/// The process was forked off one that had called before, whose threads and GPU it does not have: make the first call
/// in the process that uses the library.
#define MOBILEONE_FORKED 14

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/// The `MOBILEONE_ABI_VERSION` that the library was made with: at least that of the header, or it lacks something.
uint32_t mobileone_abi_version(void);

/// The library's version, such as `0.1.0`.
const char *mobileone_version(void);

/// Opens the device that `name` describes: `auto` (the best GPU, else the CPU), `cpu`, `gpu`, a backend (`vulkan`,
/// `metal`, `dx12`, `gl`), `software`, or a part of an adapter's name. Sessions share it.
MobileoneStatus mobileone_device_open(const char *name,
                                      MobileoneDevice *device);

/// Says what a device is.
MobileoneStatus mobileone_device_info(MobileoneDevice device, MobileoneDeviceInfo *info);

/// Closes a device. Sessions on it go on.
MobileoneStatus mobileone_device_close(MobileoneDevice device);

/// What went wrong in the last call of this thread that failed, in one line of UTF-8; empty where none did.
/// It stays as it is until the next call of this thread that fails.
const char *mobileone_last_error(void);

/// Sets the function that gets the log's lines of `level` and of the levels below it, with `user`; null or
/// `MOBILEONE_LOG_OFF` ends it. When this returns, no thread is inside an earlier one any more.
MobileoneStatus mobileone_set_log(MobileoneLog call, void *user, uint32_t level);

#if defined(__APPLE__)
/// The device of a session on Metal, `id<MTLDevice>`, for the texture cache to be made on; null for any other. It is
/// the session's: retain it where it is kept longer.
void *mobileone_session_metal_device(MobileoneSession session);
#endif

#if defined(__APPLE__)
/// As `mobileone_submit`, of a Metal texture (`id<MTLTexture>`): 2D, `MTLPixelFormatBGRA8Unorm` or `RGBA8Unorm` (sRGB or
/// not), of the session's own device. `crop` is 4 numbers, or null for the whole; `rotation` a `MOBILEONE_ROTATION_`
/// number. The texture is retained; what lies under it, such as a camera's pixel buffer, must not be written to until
/// the ticket has ended.
MobileoneStatus mobileone_submit_metal_texture(MobileoneSession session,
                                               void *texture,
                                               const uint32_t *crop,
                                               uint32_t rotation,
                                               MobileoneTicket *ticket);
#endif

/// Opens the model in the file at `path` (UTF-8): safetensors, or a PyTorch checkpoint. A `config.json` beside it is
/// read too.
MobileoneStatus mobileone_model_load(const char *path,
                                     MobileoneModel *model);

/// The same, read as `reading` says, which may be null.
MobileoneStatus mobileone_model_load_with(const char *path,
                                          const MobileoneReading *reading,
                                          MobileoneModel *model);

/// Opens the model in `length` bytes of a file, which may be freed when this returns. `config` is the text of a
/// `config.json`, or null.
MobileoneStatus mobileone_model_from_bytes(const uint8_t *bytes,
                                           size_t length,
                                           const char *config,
                                           MobileoneModel *model);

/// The same, read as `reading` says, which may be null.
MobileoneStatus mobileone_model_from_bytes_with(const uint8_t *bytes,
                                                size_t length,
                                                const char *config,
                                                const MobileoneReading *reading,
                                                MobileoneModel *model);

/// Opens the built-in model, which reads the digit held up to a camera.
MobileoneStatus mobileone_model_builtin(MobileoneModel *model);

/// Says what a model is.
MobileoneStatus mobileone_model_info(MobileoneModel model, MobileoneModelInfo *info);

/// Writes the name of class `index`, in UTF-8 and ended by a 0, to `label`, which has place for `capacity` bytes;
/// `length`, which may be null, becomes the bytes of the name without the 0. With a capacity of 0 `label` may be null
/// and the status is `MOBILEONE_BUFFER_TOO_SMALL`.
MobileoneStatus mobileone_model_label(MobileoneModel model,
                                      uint32_t index,
                                      char *label,
                                      size_t capacity,
                                      size_t *length);

/// Closes a model. Sessions that were made of it go on.
MobileoneStatus mobileone_model_close(MobileoneModel model);

/// Lists the outputs of a model, which `MobileoneOptions.names` may ask for, with their sizes at the model's own input
/// size. `infos` has place for `capacity` of them; `count` becomes how many there are. With a capacity of 0 `infos` may
/// be null, and the status is `MOBILEONE_BUFFER_TOO_SMALL`.
MobileoneStatus mobileone_model_outputs(MobileoneModel model,
                                        MobileoneOutputInfo *infos,
                                        size_t capacity,
                                        size_t *count);

/// Lists the outputs that a session brings back, as `mobileone_model_outputs` does; the best classes are not among them.
MobileoneStatus mobileone_session_outputs(MobileoneSession session,
                                          MobileoneOutputInfo *infos,
                                          size_t capacity,
                                          size_t *count);

/// Makes a session: plans, compiles and loads `model` for `device`, which may take seconds. `options` may be null.
MobileoneStatus mobileone_session_open(MobileoneModel model,
                                       MobileoneDevice device,
                                       const MobileoneOptions *options,
                                       MobileoneSession *session);

/// Pictures that one submit takes: the batch that was asked for, or fewer where the device holds no more.
MobileoneStatus mobileone_session_batch(MobileoneSession session, uint32_t *batch);

/// Runs one picture and waits for its answer.
MobileoneStatus mobileone_run(MobileoneSession session,
                              const MobileonePicture *picture,
                              MobileoneAnswer *answer);

/// Runs the tensor of `count` values `[n][height][width][channels]`, normalized as the model wants it, and waits for its
/// answer. More pictures than the session's batch run one batch after the other.
MobileoneStatus mobileone_run_tensor(MobileoneSession session,
                                     const float *values,
                                     size_t count,
                                     MobileoneAnswer *answer);

/// Runs one picture and writes its best classes, best first, to `top`, which has place for `capacity`; `count` becomes
/// how many there are. With a capacity of 0 `top` may be null, nothing runs, and the status is
/// `MOBILEONE_BUFFER_TOO_SMALL`.
MobileoneStatus mobileone_classify(MobileoneSession session,
                                   const MobileonePicture *picture,
                                   MobileoneTop *top,
                                   size_t capacity,
                                   size_t *count);

/// Closes a session and its tickets. Calls that other threads are in end as they would have; the device's memory is
/// freed after the last of them.
MobileoneStatus mobileone_session_close(MobileoneSession session);

/// Takes no more work, and returns when the GPU has none of this session any more; what was in flight has its answers,
/// which can still be taken. For a phone, whose system ends programs that give the GPU work in the background.
MobileoneStatus mobileone_session_pause(MobileoneSession session);

/// Takes work again.
MobileoneStatus mobileone_session_resume(MobileoneSession session);

/// Starts one picture and does not wait: `MOBILEONE_BUSY` where all frames are in flight, which is known before the
/// picture is looked at: take an answer first.
MobileoneStatus mobileone_submit(MobileoneSession session,
                                 const MobileonePicture *picture,
                                 MobileoneTicket *ticket);

/// Starts the tensor of `count` values `[n][height][width][channels]`, normalized as the model wants it, and does not
/// wait: `MOBILEONE_BUSY` where all frames are in flight. `n` is at most the session's batch.
MobileoneStatus mobileone_submit_tensor(MobileoneSession session,
                                        const float *values,
                                        size_t count,
                                        MobileoneTicket *ticket);

/// Takes the answer if it has come, which closes the ticket: `MOBILEONE_NOT_READY` if it has not. Never waits.
MobileoneStatus mobileone_poll(MobileoneTicket ticket,
                               MobileoneAnswer *answer);

/// Waits for the answer and takes it, which closes the ticket. On the CPU the caller's thread works towards it.
MobileoneStatus mobileone_wait(MobileoneTicket ticket,
                               MobileoneAnswer *answer);

/// Gives an answer up and closes the ticket. A thread that waits for it gets it nevertheless.
MobileoneStatus mobileone_cancel(MobileoneTicket ticket);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MOBILEONE_H */
