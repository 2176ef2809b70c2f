#!/bin/sh
# Takes the app's place in the test of its update, notes that it was begun, and goes on as the app under test. It is signed, so a
# change of it needs a new signature: README.md says how.
echo "begun $*" >>"$HOME/begun"
exec "$STACK_EMULATOR_TEST_DESKTOP" "$@"
