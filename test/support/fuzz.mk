# Fuzz targets: test/fuzz/*.c, each linked with the rooms that programs share
# (outbox-kafka without its main, outbox-http without sockets and libpq), by clang, with libFuzzer and the address
# and undefined-behaviour sanitizers.
#
# Those in test/fuzz/server are libraries for a backend, with src/avro in them.
#
#	make -f test/support/fuzz.mk PG_CONFIG=...	build/fuzz/NAME for each
PG_CONFIG ?= pg_config
CLANG := $(or $(CLANG),$(shell test/support/clang $(PG_CONFIG)))

TARGETS = $(patsubst test/fuzz/%.c,build/fuzz/%,$(wildcard test/fuzz/*.c)) \
	$(patsubst test/fuzz/server/%.c,build/fuzz/%,$(wildcard test/fuzz/server/*.c))
SRC = $(wildcard src/base/*.c src/record/*.c) $(filter-out src/avro/pg_%,$(wildcard src/avro/*.c)) \
	$(filter-out %/main.c,$(wildcard src/outbox-kafka/*.c)) \
	$(filter-out $(addprefix src/outbox-http/,main.c server.c listen.c workers.c db.c log.c),$(wildcard src/outbox-http/*.c))
OBJS = $(patsubst src/%.c,build/fuzz/obj/%.o,$(SRC))
HEADERS = $(wildcard src/*.h src/*/*.h test/fuzz/*.h)

UNDEFINED = undefined -fno-sanitize-recover=undefined
SANITIZE = address,$(UNDEFINED)
CFLAGS = -g -O1 -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers -Wno-ignored-attributes -fno-omit-frame-pointer $(COPT)
CPPFLAGS = -DFRONTEND -D_GNU_SOURCE -Isrc -Itest -I$(shell $(PG_CONFIG) --includedir-server)
LIBS = -L$(shell $(PG_CONFIG) --pkglibdir) -lpgcommon -lpgport -Wl,--as-needed \
	-lrdkafka -lavro -ljansson -lcurl -lcrypto -lz -lm

SERVER_OBJS = $(patsubst src/%.c,build/fuzz/server/%.o,$(wildcard src/base/*.c src/avro/*.c))
SERVER_CPPFLAGS = -D_GNU_SOURCE -Isrc -Itest -I$(shell $(PG_CONFIG) --includedir-server)
RUNTIME = $(shell $(CLANG) -print-resource-dir)/lib/linux
MACHINE = $(shell uname -m)

all: $(TARGETS)
.SECONDARY:

build/fuzz/obj/%.o: src/%.c $(HEADERS)
	@mkdir -p $(@D)
	$(CLANG) $(CFLAGS) -fsanitize=fuzzer-no-link,$(SANITIZE) $(CPPFLAGS) -pthread -c -o $@ $<

# An archive: a target takes what it needs, and may stand in for what it lacks.
build/fuzz/rooms.a: $(OBJS)
	rm -f $@
	ar rcs $@ $(OBJS)

build/fuzz/%: test/fuzz/%.c build/fuzz/rooms.a $(HEADERS)
	@mkdir -p $(@D)
	$(CLANG) $(CFLAGS) -fsanitize=fuzzer,$(SANITIZE) $(CPPFLAGS) -pthread -o $@ $< build/fuzz/rooms.a $(LIBS)

build/fuzz/server/%.o: src/%.c $(HEADERS)
	@mkdir -p $(@D)
	$(CLANG) $(CFLAGS) -fPIC -fsanitize=fuzzer-no-link,$(SANITIZE) $(SERVER_CPPFLAGS) -c -o $@ $<

# Before all else in a server with the sanitizer's runtime (see there).
build/fuzz/server/no_nls.so: test/support/no_nls.c
	@mkdir -p $(@D)
	$(CLANG) -g -O1 -Wall -Wextra $(COPT) -fPIC -shared -o $@ $<

# -Bsymbolic: libFuzzer counts coverage, not its stand-in in the preloaded runtime.
build/fuzz/%: test/fuzz/server/%.c test/fuzz/server/backend build/fuzz/server/no_nls.so $(SERVER_OBJS) $(HEADERS)
	$(CLANG) $(CFLAGS) -fPIC -shared -Wl,-Bsymbolic -shared-libasan -fsanitize=fuzzer-no-link,$(SANITIZE) $(SERVER_CPPFLAGS) \
		-o $@.so $< $(SERVER_OBJS) $(RUNTIME)/libclang_rt.fuzzer_no_main-$(MACHINE).a -lstdc++ -lpthread -ldl -lm
	printf '#!/bin/sh\nOUTBOX_FUZZ_PRELOAD="%s" exec %s %s "$$@"\n' \
		'$(RUNTIME)/libclang_rt.asan-$(MACHINE).so $(CURDIR)/build/fuzz/server/no_nls.so' \
		$(CURDIR)/test/fuzz/server/backend $* >$@
	chmod +x $@
