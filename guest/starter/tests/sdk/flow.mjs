// What an app does with the official SDK, from signing up to deleting the account. Run by `tests/stack/sdk.rs`:
//
//   node flow.mjs SDK BACKEND_URL PROJECT_ID PUBLISHABLE_CLIENT_KEY SECRET_SERVER_KEY -- PROGRAM ARGUMENT...
//
// The program prints the newest mail to the address that it is given as its last argument. Prints a line for each
// step; the first that fails ends it with status 1.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createLocalJWKSet, jwtVerify } from "jose";

const [sdk, baseUrl, projectId, publishableClientKey, secretServerKey, , program, ...programArguments] =
  process.argv.slice(2);
const { StackClientApp, StackServerApp } = await import(sdk);

const PASSWORD = "Correct-horse-9";
const ADA = "ada@example.com";
const EVE = "eve@example.com";
const PAGE = "http://localhost:3000/handler";
const options = { baseUrl, projectId, publishableClientKey, tokenStore: "memory", noAutomaticPrefetch: true, redirectMethod: "none" };
const app = new StackClientApp(options);
const second = new StackClientApp(options);
const server = new StackServerApp({ ...options, secretServerKey });

async function step(name, deed) {
  try {
    await deed();
  } catch (error) {
    console.error(`${sdk}: ${name}: ${error.stack}`);
    process.exit(1);
  }
  console.log(`${sdk}: ${name}`);
}

/** The value of a result; fails with its error. */
function done(result) {
  if (result?.status === "error") throw result.error;
  return result?.data;
}

/** The error code of a result that is to be an error. */
function refusal(result) {
  assert.equal(result?.status ?? "error", "error");
  return (result.error ?? result).errorCode;
}

function mailedCode(address) {
  const mail = execFileSync(program, [...programArguments, address], { encoding: "utf8" });
  return mail.match(/code=(\w+)/)[1];
}

const signUp = (who, email) =>
  who.signUpWithCredential({ email, password: PASSWORD, noRedirect: true, verificationCallbackUrl: PAGE });
const signIn = (who, email, password) => who.signInWithCredential({ email, password, noRedirect: true });

await step("project", async () => {
  const project = await app.getProject();
  assert.equal(project.config.credentialEnabled, true);
});
await step("sign up, verify the address", async () => {
  done(await signUp(app, ADA));
  assert.equal((await app.getUser()).primaryEmailVerified, false);
  done(await app.verifyEmail(mailedCode(ADA)));
  assert.equal((await (await app.getUser()).listContactChannels())[0].isVerified, true);
});
await step("sign up again, and with a short password", async () => {
  assert.equal(refusal(await signUp(second, ADA)), "USER_EMAIL_ALREADY_EXISTS");
  const short = { email: EVE, password: "short", noRedirect: true, verificationCallbackUrl: PAGE };
  assert.equal(refusal(await second.signUpWithCredential(short)), "PASSWORD_TOO_SHORT");
});
await step("name and metadata", async () => {
  const user = await app.getUser();
  await user.setDisplayName("Ada");
  await user.update({ clientMetadata: { list: [1, { deep: null }] } });
  const seen = await app.getUser();
  assert.deepEqual([seen.displayName, seen.clientMetadata], ["Ada", { list: [1, { deep: null }] }]);
});
await step("sign out and in", async () => {
  await (await app.getUser()).signOut();
  assert.equal(await app.getUser(), null);
  assert.equal(refusal(await signIn(app, ADA, "nope-nope-nope")), "EMAIL_PASSWORD_MISMATCH");
  done(await signIn(app, ADA, PASSWORD));
  assert.equal((await app.getUser()).displayName, "Ada");
});
await step("an access token that the project's keys have signed", async () => {
  const { accessToken } = await (await app.getUser()).getAuthJson();
  const keys = await (await fetch(`${baseUrl}/api/v1/projects/${projectId}/.well-known/jwks.json`)).json();
  const issuer = `${baseUrl}/api/v1/projects/${projectId}`;
  const { payload } = await jwtVerify(accessToken, createLocalJWKSet(keys), { audience: projectId, issuer });
  assert.equal(payload.sub, (await app.getUser()).id);
});
await step("magic link", async () => {
  const { nonce } = done(await second.sendMagicLinkEmail(EVE, { callbackUrl: PAGE }));
  const code = mailedCode(EVE);
  assert.equal(code.slice(6), nonce);
  done(await second.signInWithMagicLink(code, { noRedirect: true }));
  assert.equal((await second.getUser()).primaryEmail, EVE);
  assert.equal(refusal(await second.signInWithMagicLink(code, { noRedirect: true })), "VERIFICATION_CODE_ALREADY_USED");
});
await step("set, change and reset a password", async () => {
  const user = await second.getUser();
  await user.setPassword({ password: PASSWORD });
  const wrong = await user.updatePassword({ oldPassword: "nope", newPassword: "Correct-horse-10" });
  assert.equal(wrong.errorCode, "PASSWORD_CONFIRMATION_MISMATCH");
  assert.equal(await user.updatePassword({ oldPassword: PASSWORD, newPassword: "Correct-horse-10" }), undefined);
  done(await second.sendForgotPasswordEmail(EVE, { callbackUrl: PAGE }));
  const code = mailedCode(EVE);
  done(await second.verifyPasswordResetCode(code));
  done(await second.resetPassword({ code, password: "Correct-horse-11" }));
  done(await signIn(second, EVE, "Correct-horse-11"));
});
await step("sessions", async () => {
  done(await signIn(new StackClientApp(options), EVE, "Correct-horse-11"));
  const user = await second.getUser();
  const sessions = await user.getActiveSessions();
  assert.equal(sessions.length, 2);
  await user.revokeSession(sessions.find((session) => !session.isCurrentSession).id);
  assert.equal((await user.getActiveSessions()).length, 1);
});
await step("a second address", async () => {
  const user = await app.getUser();
  const other = `second-${ADA}`;
  await user.createContactChannel({ type: "email", value: other, usedForAuth: false });
  const channel = (await user.listContactChannels()).find((channel) => channel.value === other);
  await channel.sendVerificationEmail({ callbackUrl: PAGE });
  done(await app.verifyEmail(mailedCode(other)));
  await channel.update({ isPrimary: true });
  assert.equal((await app.getUser()).primaryEmail, other);
});
await step("a team with roles", async () => {
  const user = await app.getUser();
  const team = await user.createTeam({ displayName: "Team" });
  await team.update({ displayName: "Team One", clientMetadata: { plan: "free" } });
  assert.equal((await user.getTeam(team.id)).displayName, "Team One");
  assert.equal(await user.hasPermission(team, "$invite_members"), true);
  assert.deepEqual(await user.listPermissions(), []);
  const profile = await user.getTeamProfile(team);
  await profile.update({ displayName: "Ada in the team" });
  assert.equal((await team.listUsers())[0].teamProfile.displayName, "Ada in the team");
});
await step("an invitation", async () => {
  const [team] = await (await app.getUser()).listTeams();
  await team.inviteUser({ email: EVE, callbackUrl: PAGE });
  assert.deepEqual((await team.listInvitations()).map((invitation) => invitation.recipientEmail), [EVE]);
  const code = mailedCode(EVE);
  done(await second.verifyTeamInvitationCode(code));
  assert.equal(done(await second.getTeamInvitationDetails(code)).teamDisplayName, "Team One");
  done(await second.acceptTeamInvitation(code));
  assert.equal((await team.listUsers()).length, 2);
  const user = await second.getUser();
  const [joined] = await user.listTeams();
  await user.setSelectedTeam(joined);
  assert.equal((await second.getUser()).selectedTeam.displayName, "Team One");
  assert.equal(await user.hasPermission(joined, "$invite_members"), false);
  await user.leaveTeam(joined);
  assert.deepEqual(await user.listTeams(), []);
});
await step("API keys of a user and of a team", async () => {
  const user = await app.getUser();
  const key = await user.createApiKey({ description: "ci", expiresAt: new Date(Date.now() + 86_400_000) });
  assert.equal((await server.getUser({ apiKey: key.value })).id, user.id);
  await (await user.listApiKeys())[0].revoke();
  assert.equal(await server.getUser({ apiKey: key.value }), null);
  const [team] = await user.listTeams();
  const teamKey = await team.createApiKey({ description: "ci", expiresAt: null });
  assert.equal((await server.getTeam({ apiKey: teamKey.value })).id, team.id);
});
await step("the server's users", async () => {
  const user = await server.createUser({ primaryEmail: "bob@example.com", password: PASSWORD, primaryEmailAuthEnabled: true });
  await user.update({ displayName: "Bob", serverMetadata: { plan: "pro" }, clientReadOnlyMetadata: { a: 1 } });
  assert.deepEqual((await server.getUser(user.id)).serverMetadata, { plan: "pro" });
  assert.equal((await server.listUsers({ query: "bob" })).length, 1);
  const [first] = [await server.listUsers({ limit: 1, orderBy: "signedUpAt", desc: true })];
  assert.equal(first[0].id, user.id);
  assert.equal((await server.listUsers({ limit: 2, cursor: first.nextCursor, desc: true })).length, 2);
  const tokens = await (await user.createSession({ expiresInMillis: 60_000 })).getTokens();
  assert.ok(tokens.accessToken && tokens.refreshToken);
  await user.delete();
  assert.equal(await server.getUser(user.id), null);
});
await step("the server's teams", async () => {
  const user = await server.getUser((await second.getUser()).id);
  const team = await server.createTeam({ displayName: "S" });
  await team.addUser(user.id);
  await user.grantPermission(team, "team_admin");
  assert.equal(await user.hasPermission(team, "$delete_team"), true);
  await user.revokePermission(team, "team_admin");
  assert.equal(await user.hasPermission(team, "$delete_team"), false);
  await team.removeUser(user.id);
  await team.delete();
  assert.equal(await server.getTeam(team.id), null);
});
await step("an anonymous user who signs up", async () => {
  const guest = new StackClientApp(options);
  const { id } = await guest.getUser({ or: "anonymous" });
  done(await signUp(guest, "guest@example.com"));
  assert.equal((await guest.getUser()).id, id);
});
await step("the end of an account", async () => {
  const user = await app.getUser();
  await (await user.listTeams())[0].delete();
  await user.delete();
  assert.equal(await app.getUser(), null);
});
process.exit(0);
