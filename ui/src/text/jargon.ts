// The technical words of the virtual machine and of where secrets are kept. Who is in a hurry reads what they mean,
// and has the words themselves one click away, behind “Details”.

/** QEMU and its programs (but not its log), the accelerators, and the stores of secrets by their own names. */
const JARGON =
  /\b(?:qemu(?!\.log)[\w-]*|kvm|hvf|tcg|hypervisor\.framework|accelerators?|keychains?|keyrings?|secret service)\b/i;

/** Whether `text` names something that not everybody knows. */
export const isTechnical = (text: string): boolean => JARGON.test(text);

/** What stands there for everybody, and what stands behind “Details”. */
export type Layered = { says: string; details: string | null };

/** `text` as it is if everybody can read it; otherwise `plain`, and the text behind “Details”. */
export const layered = (text: string, plain: string): Layered =>
  isTechnical(text) ? { says: plain, details: text } : { says: text, details: null };

/** A message of the engine during an operation. */
export function layeredNotice(text: string): Layered {
  const about = (...words: string[]): boolean => words.some((word) => text.toLowerCase().includes(word));
  if (about("keychain", "keyring")) {
    return layered(text, "The secrets are not where they are usually kept. The emulator works as usual.");
  }
  if (about("kvm", "hvf", "hypervisor", "accelerator")) {
    return layered(text, "Starts are slower on this computer than usual.");
  }
  return layered(text, "Something did not work at once. The operation continues.");
}
