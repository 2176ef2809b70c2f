// What people may do in this app. The emulator makes a project of this file, and takes over each change.
export const config = {
  auth: {
    allowSignUp: true,
    password: { allowSignIn: true },
    otp: { allowSignIn: true },
  },
};
