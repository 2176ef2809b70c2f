# Made by `cargo xtask release formula`; the place of a version's digests is taken by what SHA256SUMS states.
class StackEmulator < Formula
  desc "Full local auth backend that starts in about a second"
  homepage "https://github.com/@REPOSITORY@"
  version "@VERSION@"
  license "MIT"

  depends_on "qemu"

@SOURCES@

  def install
    bin.install "bin/stack-emulator"
    man1.install Dir["share/man/man1/*.1"]
    bash_completion.install "share/bash-completion/completions/stack-emulator"
    zsh_completion.install "share/zsh/site-functions/_stack-emulator"
    fish_completion.install "share/fish/vendor_completions.d/stack-emulator.fish"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/stack-emulator --version")
  end
end
