//! Compiles in what Tauri is configured with: the window, the icons, and what the page may call.

fn main() {
    let attributes =
        tauri_build::Attributes::new().capabilities_path_pattern("./src-tauri/capabilities/**/*");
    if let Err(error) = tauri_build::try_build(attributes) {
        // Cargo shows what a build script that fails has said.
        eprintln!("{error:#}");
        std::process::exit(1);
    }
}
