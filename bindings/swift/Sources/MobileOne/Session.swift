import CMobileOne
import CoreVideo
import Foundation
import Metal

/// One of the best classes.
public struct Top: Sendable, Identifiable {
    /// The class.
    public let id: Int
    /// Its name.
    public let label: String
    /// Its softmax.
    public let probability: Float
}

/// What comes back of one picture.
public struct Answer: Sendable {
    /// The best classes, best first.
    public let top: [Top]
    /// The outputs that the session was made for, by name: channel after channel of a map, row after row in each.
    public let outputs: [String: [Float]]
}

/// Quarter turns, clockwise, that bring a picture upright.
public enum Rotation: UInt32, Sendable {
    case none = 0
    case quarter = 1
    case half = 2
    case threeQuarters = 3
}

/// A model on a device. All of it may be called from any thread.
public final class Session: Sendable {
    private let handle: MobileoneSession
    private let device: MobileoneDevice
    /// The model that it runs.
    public let model: Model
    /// The device's name.
    public let deviceName: String
    private let topK: Int
    /// What comes back by name.
    public let outputs: [Output]

    /// Plans, compiles and loads `model`, which may take seconds: call it off the main thread.
    /// `device` is `auto`, `cpu`, `metal`, or a part of a name; `frames` may be in flight at once. `outputs` are names of
    /// `model.outputs`, which come back beside the best classes.
    public init(
        model: Model, device name: String = "auto", half: Bool = false, frames: Int = 2, topK: Int = 5,
        outputs names: [String] = []
    ) throws {
        var device: MobileoneDevice = 0
        var handle: MobileoneSession = 0
        try check(mobileone_device_open(name, &device))
        var info = MobileoneDeviceInfo()
        info.size = UInt32(MemoryLayout<MobileoneDeviceInfo>.size)
        var options = MobileoneOptions()
        options.size = UInt32(MemoryLayout<MobileoneOptions>.size)
        options.dtype = UInt32(half ? MOBILEONE_DTYPE_F16 : MOBILEONE_DTYPE_F32)
        do {
            guard let frames = UInt32(exactly: frames), let topK = UInt32(exactly: topK), topK > 0 else {
                throw Failure(status: MOBILEONE_OPTION, description: "frames \(frames), topK \(topK): numbers from 1 are needed")
            }
            options.frames = frames
            options.top_k = topK
            try check(mobileone_device_info(device, &info))
            try names.joined(separator: ",").withCString { names in
                options.names = names
                try check(mobileone_session_open(model.handle, device, &options, &handle))
            }
            let opened = handle
            outputs = try Output.list { mobileone_session_outputs(opened, $0, $1, $2) }
        } catch {
            if handle != 0 { mobileone_session_close(handle) }
            mobileone_device_close(device)
            throw error
        }
        self.device = device
        self.handle = handle
        self.model = model
        self.topK = min(topK, model.labels.count)
        deviceName = text(info.name)
    }

    deinit {
        mobileone_session_close(handle)
        mobileone_device_close(device)
    }

    /// Takes no more work, and returns when the GPU has none: before the app goes to the background, whose system ends
    /// apps that give the GPU work there.
    public func pause() throws {
        try check(mobileone_session_pause(handle))
    }

    /// Takes work again.
    public func resume() throws {
        try check(mobileone_session_resume(handle))
    }

    /// The device for a `CVMetalTextureCache` whose textures this session takes; nil where it runs on the CPU.
    public var metalDevice: MTLDevice? {
        guard let raw = mobileone_session_metal_device(handle) else { return nil }
        return Unmanaged<AnyObject>.fromOpaque(raw).takeUnretainedValue() as? MTLDevice
    }

    /// Starts a Metal texture, without a copy through the host. What lies under it must stay until the ticket has ended.
    public func submit(_ texture: MTLTexture, rotation: Rotation = .none) throws -> Ticket {
        let raw = Unmanaged.passUnretained(texture as AnyObject).toOpaque()
        var ticket: MobileoneTicket = 0
        try check(mobileone_submit_metal_texture(handle, raw, nil, rotation.rawValue, &ticket))
        return Ticket(ticket, of: self)
    }

    /// Starts a pixel buffer (32BGRA, or 420v or 420f), which is copied before this returns.
    public func submit(_ buffer: CVPixelBuffer, rotation: Rotation = .none) throws -> Ticket {
        CVPixelBufferLockBaseAddress(buffer, .readOnly)
        defer { CVPixelBufferUnlockBaseAddress(buffer, .readOnly) }
        var picture = try MobileonePicture(locked: buffer)
        picture.rotation = rotation.rawValue
        var ticket: MobileoneTicket = 0
        try check(mobileone_submit(handle, &picture, &ticket))
        return Ticket(ticket, of: self)
    }

    /// Starts a pixel buffer and gives its best classes when they have come.
    public func classify(_ buffer: CVPixelBuffer, rotation: Rotation = .none) async throws -> [Top] {
        try await submit(buffer, rotation: rotation).value()
    }

    /// What a ticket's call wrote.
    func take(_ call: (UnsafeMutablePointer<MobileoneAnswer>) -> MobileoneStatus) throws -> Answer? {
        var top = [MobileoneTop](repeating: MobileoneTop(), count: topK)
        // The values of all outputs, one after the other.
        let counts = outputs.map { $0.channels * $0.height * $0.width }
        var values = [Float](repeating: 0, count: counts.reduce(0, +))
        let names = outputs.map { strdup($0.name) }
        defer { names.forEach { free($0) } }
        var named = [MobileoneNamed](repeating: MobileoneNamed(), count: outputs.count)
        var answer = MobileoneAnswer()
        answer.size = UInt32(MemoryLayout<MobileoneAnswer>.size)
        let status = top.withUnsafeMutableBufferPointer { top in
            values.withUnsafeMutableBufferPointer { values in
                var start = 0
                for at in named.indices {
                    named[at].name = UnsafePointer(names[at])
                    named[at].values = values.baseAddress.map { $0 + start }
                    named[at].capacity = counts[at]
                    start += counts[at]
                }
                return named.withUnsafeMutableBufferPointer { named in
                    answer.top.values = top.baseAddress
                    answer.top.capacity = top.count
                    answer.named = named.baseAddress
                    answer.named_count = named.count
                    return call(&answer)
                }
            }
        }
        if status == MOBILEONE_NOT_READY { return nil }
        try check(status)
        var start = 0
        var found: [String: [Float]] = [:]
        for (output, count) in zip(outputs, counts) {
            found[output.name] = Array(values[start..<start + count])
            start += count
        }
        let best = top.prefix(answer.top.count).map { one in
            Top(id: Int(one.index), label: model.labels[Int(one.index)], probability: one.probability)
        }
        return Answer(top: best, outputs: found)
    }
}

/// An inference in flight. Dropped, it gives its answer up.
public final class Ticket: Sendable {
    private let handle: MobileoneTicket
    private let session: Session

    init(_ handle: MobileoneTicket, of session: Session) {
        self.handle = handle
        self.session = session
    }

    deinit {
        // A ticket whose answer was taken is closed already.
        mobileone_cancel(handle)
    }

    /// The best classes if they have come; nil if they have not. An answer is taken once.
    public func poll() throws -> [Top]? {
        try session.take { mobileone_poll(handle, $0) }?.top
    }

    /// Waits for the best classes, on this thread.
    public func wait() throws -> [Top] {
        try session.take { mobileone_wait(handle, $0) }?.top ?? []
    }

    /// The best classes when they have come, without holding a thread.
    public func value() async throws -> [Top] {
        try await answer().top
    }

    /// The best classes and the outputs by name when they have come, without holding a thread.
    public func answer() async throws -> Answer {
        while true {
            if let answer = try session.take({ mobileone_poll(handle, $0) }) { return answer }
            try await Task.sleep(nanoseconds: 500_000)
        }
    }
}

extension MobileonePicture {
    /// A buffer whose base address is locked.
    init(locked buffer: CVPixelBuffer) throws {
        self.init()
        size = UInt32(MemoryLayout<MobileonePicture>.size)
        width = UInt32(CVPixelBufferGetWidth(buffer))
        height = UInt32(CVPixelBufferGetHeight(buffer))
        let kind = CVPixelBufferGetPixelFormatType(buffer)
        switch kind {
        case kCVPixelFormatType_32BGRA:
            format = UInt32(MOBILEONE_FORMAT_BGRA8)
            stride = CVPixelBufferGetBytesPerRow(buffer)
            bytes = CVPixelBufferGetBaseAddress(buffer).map { UnsafePointer($0.assumingMemoryBound(to: UInt8.self)) }
            length = stride * CVPixelBufferGetHeight(buffer)
        case kCVPixelFormatType_420YpCbCr8BiPlanarVideoRange, kCVPixelFormatType_420YpCbCr8BiPlanarFullRange:
            let plane = { (at: Int) -> (UnsafePointer<UInt8>?, Int, Int) in
                let start = CVPixelBufferGetBaseAddressOfPlane(buffer, at)
                let stride = CVPixelBufferGetBytesPerRowOfPlane(buffer, at)
                let length = stride * CVPixelBufferGetHeightOfPlane(buffer, at)
                return (start.map { UnsafePointer($0.assumingMemoryBound(to: UInt8.self)) }, length, stride)
            }
            format = UInt32(MOBILEONE_FORMAT_NV12)
            (bytes, length, stride) = plane(0)
            (chroma, chroma_length, chroma_stride) = plane(1)
            // Phones' cameras say BT.709; what says nothing is taken for it too.
            let said = CVBufferCopyAttachment(buffer, kCVImageBufferYCbCrMatrixKey, nil) as? String
            let old = said == kCVImageBufferYCbCrMatrix_ITU_R_601_4 as String
            matrix = UInt32(old ? MOBILEONE_MATRIX_BT601 : MOBILEONE_MATRIX_BT709)
            let full = kind == kCVPixelFormatType_420YpCbCr8BiPlanarFullRange
            range = UInt32(full ? MOBILEONE_RANGE_FULL : MOBILEONE_RANGE_LIMITED)
        default:
            throw Failure(
                status: MOBILEONE_INPUT, description: "pixel format \(kind): 32BGRA, 420v or 420f is needed")
        }
    }
}
