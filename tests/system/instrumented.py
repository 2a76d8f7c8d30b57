"""Which tests instrumented programs run: those whose answer may hang on memory or threads.

All of them run on the release build. Under a sanitizer a gateway takes ten times as long to start and to stop, so a run
of everything would take longer than all else together.
"""

# What these show is a text, a file or a row, or that faults lose nothing, which the release build shows.
LEFT_OUT = {
    "test_browser",
    "test_faults",
    "test_hanging_database",
    "test_journal",
    "test_known_devices",
    "test_ocsf",
    "test_secrets",
    "test_startup_errors",
    "test_store_queries",
    "test_two_person",
}

# A test of both kinds of store runs on one of them: the unit tests of the stores run on both under each sanitizer.
STORE_LEFT_OUT = {"asan": "postgresql", "tsan": "sqlite"}


def is_left_out(sanitizer, module, name):
    """`name` is that of the test with its parameters: test_x[sqlite-...]"""
    if not sanitizer:
        return False
    parameters = name.partition("[")[2].rstrip("]").split("-")
    return module.rpartition(".")[2] in LEFT_OUT or STORE_LEFT_OUT.get(sanitizer) in parameters
