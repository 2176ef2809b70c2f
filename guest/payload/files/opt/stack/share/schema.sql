-- The starter's tables. Names and columns that the contract or the real backend has are theirs, hence
-- the capitals and quotes.

CREATE TABLE "Project" (
    "id" TEXT PRIMARY KEY,
    "displayName" TEXT NOT NULL,
    -- Settings as JSON text, kept as they were given.
    "configOverride" TEXT NOT NULL DEFAULT '{}',
    "createdAt" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "updatedAt" TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE "LocalEmulatorProject" (
    "absoluteFilePath" TEXT PRIMARY KEY,
    "projectId" TEXT NOT NULL UNIQUE REFERENCES "Project" ("id") ON DELETE CASCADE,
    "createdAt" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "updatedAt" TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE "ApiKeySet" (
    "projectId" TEXT NOT NULL REFERENCES "Project" ("id") ON DELETE CASCADE,
    "id" UUID NOT NULL,
    "description" TEXT NOT NULL,
    "expiresAt" TIMESTAMPTZ NOT NULL,
    "manuallyRevokedAt" TIMESTAMPTZ,
    "createdAt" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "updatedAt" TIMESTAMPTZ NOT NULL DEFAULT now(),
    "publishableClientKey" TEXT UNIQUE,
    "secretServerKey" TEXT UNIQUE,
    "superSecretAdminKey" TEXT UNIQUE,
    PRIMARY KEY ("projectId", "id")
);

-- What else a rotation replaces, in the same transaction.
CREATE TABLE "EmulatorSecret" (
    "name" TEXT PRIMARY KEY,
    "value" TEXT NOT NULL,
    "updatedAt" TIMESTAMPTZ NOT NULL DEFAULT now()
);

-- Made when first asked for, never while an image is built or a snapshot taken.
CREATE TABLE "SigningKey" (
    "projectId" TEXT NOT NULL REFERENCES "Project" ("id") ON DELETE CASCADE,
    -- 0 signs; 1 is published beside it and stands by.
    "position" SMALLINT NOT NULL,
    "kid" TEXT NOT NULL,
    "privateKey" BYTEA NOT NULL,
    "x" TEXT NOT NULL,
    "y" TEXT NOT NULL,
    "createdAt" TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY ("projectId", "position")
);

-- Who is signed in to the dashboard. Good while the server key of `internal` is the one with this digest.
CREATE TABLE "DashboardLink" (
    "codeDigest" BYTEA PRIMARY KEY,
    "keyDigest" BYTEA NOT NULL,
    "expiresAtMillis" BIGINT NOT NULL
);

CREATE TABLE "DashboardSession" (
    "tokenDigest" BYTEA PRIMARY KEY,
    "keyDigest" BYTEA NOT NULL,
    "expiresAtMillis" BIGINT NOT NULL
);

-- What an app keeps here. Times are milliseconds since 1970, as the API has them. Of what opens an account
-- (refresh tokens, codes, API keys) only digests are kept.

CREATE TABLE "Team" (
    "projectId" TEXT NOT NULL REFERENCES "Project" ("id") ON DELETE CASCADE,
    "id" TEXT NOT NULL,
    "displayName" TEXT NOT NULL,
    "profileImageUrl" TEXT,
    "clientMetadata" JSONB,
    "clientReadOnlyMetadata" JSONB,
    "serverMetadata" JSONB,
    "createdAtMillis" BIGINT NOT NULL,
    PRIMARY KEY ("projectId", "id")
);

CREATE TABLE "User" (
    "projectId" TEXT NOT NULL REFERENCES "Project" ("id") ON DELETE CASCADE,
    "id" TEXT NOT NULL,
    "displayName" TEXT,
    "profileImageUrl" TEXT,
    "clientMetadata" JSONB,
    "clientReadOnlyMetadata" JSONB,
    "serverMetadata" JSONB,
    "passwordHash" TEXT,
    "otpAuthEnabled" BOOLEAN NOT NULL DEFAULT false,
    "selectedTeamId" TEXT,
    -- Made for somebody who has not signed up yet.
    "isAnonymous" BOOLEAN NOT NULL DEFAULT false,
    "signedUpAtMillis" BIGINT NOT NULL,
    "lastActiveAtMillis" BIGINT NOT NULL,
    PRIMARY KEY ("projectId", "id")
);
CREATE INDEX ON "User" ("projectId", "signedUpAtMillis", "id");

CREATE TABLE "ContactChannel" (
    "projectId" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "type" TEXT NOT NULL,
    "value" TEXT NOT NULL,
    "isPrimary" BOOLEAN NOT NULL,
    "isVerified" BOOLEAN NOT NULL,
    "usedForAuth" BOOLEAN NOT NULL,
    "createdAtMillis" BIGINT NOT NULL,
    PRIMARY KEY ("projectId", "userId", "id"),
    FOREIGN KEY ("projectId", "userId") REFERENCES "User" ("projectId", "id") ON DELETE CASCADE,
    UNIQUE ("projectId", "userId", "type", "value")
);
-- One address signs in to one account, however many sign up with it at once.
CREATE UNIQUE INDEX "ContactChannel_auth" ON "ContactChannel" ("projectId", "type", "value") WHERE "usedForAuth";
CREATE UNIQUE INDEX "ContactChannel_primary" ON "ContactChannel" ("projectId", "userId", "type") WHERE "isPrimary";

CREATE TABLE "Session" (
    "projectId" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "refreshTokenDigest" BYTEA NOT NULL,
    "isImpersonation" BOOLEAN NOT NULL,
    "createdAtMillis" BIGINT NOT NULL,
    "lastUsedAtMillis" BIGINT NOT NULL,
    "expiresAtMillis" BIGINT,
    PRIMARY KEY ("projectId", "id"),
    FOREIGN KEY ("projectId", "userId") REFERENCES "User" ("projectId", "id") ON DELETE CASCADE,
    UNIQUE ("projectId", "refreshTokenDigest")
);
CREATE INDEX ON "Session" ("projectId", "userId");

CREATE TABLE "VerificationCode" (
    "projectId" TEXT NOT NULL REFERENCES "Project" ("id") ON DELETE CASCADE,
    "id" TEXT NOT NULL,
    "purpose" TEXT NOT NULL,
    "codeDigest" BYTEA NOT NULL,
    -- Of the part that a client keeps while a person types the rest.
    "nonceDigest" BYTEA NOT NULL,
    "email" TEXT NOT NULL,
    "userId" TEXT,
    "teamId" TEXT,
    "channelId" TEXT,
    "attempts" INTEGER NOT NULL DEFAULT 0,
    "createdAtMillis" BIGINT NOT NULL,
    "expiresAtMillis" BIGINT NOT NULL,
    "usedAtMillis" BIGINT,
    PRIMARY KEY ("projectId", "id"),
    FOREIGN KEY ("projectId", "userId") REFERENCES "User" ("projectId", "id") ON DELETE CASCADE,
    FOREIGN KEY ("projectId", "teamId") REFERENCES "Team" ("projectId", "id") ON DELETE CASCADE,
    UNIQUE ("projectId", "codeDigest")
);
CREATE INDEX ON "VerificationCode" ("projectId", "nonceDigest");

CREATE TABLE "TeamMember" (
    "projectId" TEXT NOT NULL,
    "teamId" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    -- What the team sees, where it differs from the user's own.
    "displayName" TEXT,
    "profileImageUrl" TEXT,
    "createdAtMillis" BIGINT NOT NULL,
    PRIMARY KEY ("projectId", "teamId", "userId"),
    FOREIGN KEY ("projectId", "teamId") REFERENCES "Team" ("projectId", "id") ON DELETE CASCADE,
    FOREIGN KEY ("projectId", "userId") REFERENCES "User" ("projectId", "id") ON DELETE CASCADE
);
CREATE INDEX ON "TeamMember" ("projectId", "userId");

CREATE TABLE "TeamPermission" (
    "projectId" TEXT NOT NULL,
    "teamId" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "permissionId" TEXT NOT NULL,
    PRIMARY KEY ("projectId", "teamId", "userId", "permissionId"),
    FOREIGN KEY ("projectId", "teamId", "userId")
        REFERENCES "TeamMember" ("projectId", "teamId", "userId") ON DELETE CASCADE
);

CREATE TABLE "ProjectPermission" (
    "projectId" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "permissionId" TEXT NOT NULL,
    PRIMARY KEY ("projectId", "userId", "permissionId"),
    FOREIGN KEY ("projectId", "userId") REFERENCES "User" ("projectId", "id") ON DELETE CASCADE
);

CREATE TABLE "OwnedApiKey" (
    "projectId" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    -- One of the two is the owner.
    "userId" TEXT,
    "teamId" TEXT,
    "description" TEXT NOT NULL,
    "keyDigest" BYTEA NOT NULL,
    "lastFour" TEXT NOT NULL,
    "isPublic" BOOLEAN NOT NULL,
    "createdAtMillis" BIGINT NOT NULL,
    "expiresAtMillis" BIGINT,
    "revokedAtMillis" BIGINT,
    PRIMARY KEY ("projectId", "id"),
    FOREIGN KEY ("projectId", "userId") REFERENCES "User" ("projectId", "id") ON DELETE CASCADE,
    FOREIGN KEY ("projectId", "teamId") REFERENCES "Team" ("projectId", "id") ON DELETE CASCADE,
    CHECK (("userId" IS NULL) <> ("teamId" IS NULL)),
    UNIQUE ("projectId", "keyDigest")
);

-- What would have been sent. No mail leaves the machine. `"link"` and `"code"` are those of the text, if it has them.
CREATE TABLE "Mail" (
    "id" TEXT PRIMARY KEY,
    "number" BIGINT NOT NULL UNIQUE GENERATED ALWAYS AS IDENTITY,
    "projectId" TEXT NOT NULL REFERENCES "Project" ("id") ON DELETE CASCADE,
    "recipient" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "text" TEXT NOT NULL,
    "html" TEXT NOT NULL,
    "link" TEXT,
    "code" TEXT,
    "createdAtMillis" BIGINT NOT NULL,
    "seen" BOOLEAN NOT NULL DEFAULT FALSE,
    -- As Inbucket names mailboxes: what stands before the `@`, without a `+tag`.
    "mailbox" TEXT NOT NULL GENERATED ALWAYS AS (split_part(split_part(lower("recipient"), '@', 1), '+', 1)) STORED
);
CREATE INDEX ON "Mail" ("recipient", "number");
CREATE INDEX ON "Mail" ("mailbox", "number");

-- Where deleted mails were in the order, for those who ask what came after one of them.
CREATE TABLE "DeletedMail" (
    "id" TEXT PRIMARY KEY,
    "number" BIGINT NOT NULL
);

-- Signing in with providers. A flow begins when an app sends somebody to a provider and ends when they come
-- back; then the app gets a code, which it redeems for a session.

CREATE TABLE "OAuthFlow" (
    "stateDigest" BYTEA PRIMARY KEY,
    "projectId" TEXT NOT NULL REFERENCES "Project" ("id") ON DELETE CASCADE,
    "providerId" TEXT NOT NULL,
    "providerVerifier" TEXT NOT NULL,
    "providerCallback" TEXT NOT NULL,
    "providerScope" TEXT NOT NULL,
    -- Whether the browser that began it has a cookie of it.
    "hasCookie" BOOLEAN NOT NULL,
    "isLink" BOOLEAN NOT NULL,
    -- Who was signed in; perhaps deleted since.
    "userId" TEXT,
    "redirectUri" TEXT NOT NULL,
    "appState" TEXT NOT NULL,
    "challenge" TEXT NOT NULL,
    "errorRedirectUrl" TEXT,
    "afterCallbackRedirectUrl" TEXT,
    "expiresAtMillis" BIGINT NOT NULL
);

CREATE TABLE "OAuthCode" (
    "digest" BYTEA PRIMARY KEY,
    "projectId" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "redirectUri" TEXT NOT NULL,
    "challenge" TEXT NOT NULL,
    "isNewUser" BOOLEAN NOT NULL,
    "afterCallbackRedirectUrl" TEXT,
    "expiresAtMillis" BIGINT NOT NULL,
    FOREIGN KEY ("projectId", "userId") REFERENCES "User" ("projectId", "id") ON DELETE CASCADE
);

CREATE TABLE "OAuthAccount" (
    "projectId" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "userId" TEXT NOT NULL,
    "providerId" TEXT NOT NULL,
    "accountId" TEXT NOT NULL,
    "email" TEXT,
    "allowSignIn" BOOLEAN NOT NULL,
    "allowConnectedAccounts" BOOLEAN NOT NULL,
    "createdAtMillis" BIGINT NOT NULL,
    PRIMARY KEY ("projectId", "id"),
    FOREIGN KEY ("projectId", "userId") REFERENCES "User" ("projectId", "id") ON DELETE CASCADE,
    UNIQUE ("projectId", "userId", "providerId", "accountId")
);
-- A provider's account signs in to one account here.
CREATE UNIQUE INDEX "OAuthAccount_sign_in" ON "OAuthAccount" ("projectId", "providerId", "accountId") WHERE "allowSignIn";

-- What a provider has granted; apps are given the access tokens.
CREATE TABLE "OAuthGrant" (
    "projectId" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "oauthAccountId" TEXT NOT NULL,
    "accessToken" TEXT NOT NULL,
    "refreshToken" TEXT NOT NULL,
    "scopes" TEXT[] NOT NULL,
    "expiresAtMillis" BIGINT NOT NULL,
    "createdAtMillis" BIGINT NOT NULL,
    PRIMARY KEY ("projectId", "id"),
    FOREIGN KEY ("projectId", "oauthAccountId") REFERENCES "OAuthAccount" ("projectId", "id") ON DELETE CASCADE
);
CREATE INDEX ON "OAuthGrant" ("projectId", "oauthAccountId");

-- The mock OAuth provider: who was made up there, and what it has granted.

CREATE TABLE "MockOAuthPerson" (
    "id" TEXT PRIMARY KEY,
    "email" TEXT NOT NULL UNIQUE,
    "isVerified" BOOLEAN NOT NULL,
    "displayName" TEXT,
    "usedAtMillis" BIGINT NOT NULL
);

CREATE TABLE "MockOAuthCode" (
    "digest" BYTEA PRIMARY KEY,
    "clientId" TEXT NOT NULL,
    "redirectUri" TEXT NOT NULL,
    "challenge" TEXT NOT NULL,
    "scope" TEXT NOT NULL,
    "personId" TEXT NOT NULL REFERENCES "MockOAuthPerson" ("id"),
    "expiresAtMillis" BIGINT NOT NULL
);

CREATE TABLE "MockOAuthToken" (
    "digest" BYTEA PRIMARY KEY,
    "kind" TEXT NOT NULL,
    "clientId" TEXT NOT NULL,
    "personId" TEXT NOT NULL REFERENCES "MockOAuthPerson" ("id"),
    "scope" TEXT NOT NULL,
    "expiresAtMillis" BIGINT NOT NULL
);

INSERT INTO "Project" ("id", "displayName", "configOverride") VALUES (
    'internal',
    'Stack Dashboard',
    '{"auth":{"allowSignUp":true,"password":{"allowSignIn":true},"otp":{"allowSignIn":true},"oauth":{"providers":{"github":{"type":"github"},"google":{"type":"google"},"microsoft":{"type":"microsoft"},"spotify":{"type":"spotify"}}}},"teams":{"allowClientTeamCreation":true}}'
);

-- The placeholders of the contract; each start replaces them.
INSERT INTO "ApiKeySet" ("projectId", "id", "description", "expiresAt",
    "publishableClientKey", "secretServerKey", "superSecretAdminKey")
VALUES (
    'internal',
    '3142e763-b230-44b5-8636-aa62f7489c26',
    'Internal API key set',
    '2099-12-31T23:59:59Z',
    repeat('0', 32) || repeat('f', 32),
    repeat('0', 32) || repeat('e', 32),
    repeat('0', 32) || repeat('d', 32)
);

INSERT INTO "EmulatorSecret" ("name", "value")
VALUES ('CRON_SECRET', repeat('0', 32) || repeat('c', 32));

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO stack;
