# Made by `cargo xtask release formula`; the place of a version's digests is taken by what SHA256SUMS states.
cask "stack-emulator-app" do
@ARCH@
  version "@VERSION@"
@DIGESTS@

  url "https://github.com/@REPOSITORY@/releases/download/v#{version}/stack-emulator_#{version}_#{arch}.dmg"
  name "Stack Emulator"
  desc "Full local auth backend that starts in about a second"
  homepage "https://github.com/@REPOSITORY@"

  depends_on formula: "qemu"

  app "Stack Emulator.app"

  zap trash: [
    "~/.stack/emulator",
    "~/Library/Saved Application State/dev.stack-emulator.desktop.savedState",
  ]
end
