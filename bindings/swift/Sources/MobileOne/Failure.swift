import CMobileOne

/// What went wrong, in one line, and which kind it is.
public struct Failure: Error, CustomStringConvertible {
    /// A `MOBILEONE_` status.
    public let status: Int32
    public let description: String

    /// All frames are in flight: this picture is dropped, or tried again.
    public var isBusy: Bool { status == MOBILEONE_BUSY }
    /// The session is paused.
    public var isPaused: Bool { status == MOBILEONE_PAUSED }
}

/// Throws what a call on this thread says of itself. It must follow the call on the same thread, as here.
func check(_ status: MobileoneStatus) throws {
    if status != MOBILEONE_OK {
        throw Failure(status: status, description: String(cString: mobileone_last_error()))
    }
}

/// The text in a C array of fixed length.
func text<T>(_ array: T) -> String {
    withUnsafeBytes(of: array) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
}
