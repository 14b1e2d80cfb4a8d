import MobileOne
import SwiftUI

@main
struct DemoApp: App {
    @StateObject private var engine = Engine()
    @Environment(\.scenePhase) private var phase

    var body: some Scene {
        WindowGroup {
            Group {
                if let session = engine.session {
                    TabView {
                        CameraView(camera: Camera(session: session))
                            .tabItem { Label("Camera", systemImage: "camera") }
                        BenchView(bench: Bench(session: session))
                            .tabItem { Label("ModelBench", systemImage: "stopwatch") }
                    }
                } else if let failure = engine.failure {
                    Text(failure).padding()
                } else {
                    ProgressView("Compiling shaders")
                }
            }
            .task { await engine.open() }
        }
        .onChange(of: phase) { phase in
            // The system ends apps that give the GPU work in the background.
            phase == .active ? engine.resume() : engine.pause()
        }
    }
}

/// The session that both screens share.
@MainActor
final class Engine: ObservableObject {
    @Published private(set) var session: Session?
    @Published private(set) var failure: String?
    /// Whether the app is away from the foreground.
    private var paused = false

    /// Opens the model in the app's bundle (`model.safetensors`), else the built-in one.
    func open() async {
        guard session == nil else { return }
        do {
            let opened = try await Task.detached(priority: .userInitiated) {
                let file = Bundle.main.url(forResource: "model", withExtension: "safetensors")
                let model = try file.map { try Model(contentsOf: $0) } ?? Model.builtIn()
                return try Session(model: model, frames: 3)
            }.value
            // The app may have left the foreground meanwhile.
            if paused { try opened.pause() }
            session = opened
        } catch {
            failure = "\(error)"
        }
    }

    func pause() {
        paused = true
        try? session?.pause()
    }

    func resume() {
        paused = false
        try? session?.resume()
    }
}
