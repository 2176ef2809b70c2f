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
    "projectId" TEXT PRIMARY KEY REFERENCES "Project" ("id") ON DELETE CASCADE,
    "kid" TEXT NOT NULL,
    "privateKey" BYTEA NOT NULL,
    "x" TEXT NOT NULL,
    "y" TEXT NOT NULL,
    "createdAt" TIMESTAMPTZ NOT NULL DEFAULT now()
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
