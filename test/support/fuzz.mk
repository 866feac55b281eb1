# Fuzz targets: test/fuzz/*.c, each linked with the rooms that programs share
# (and outbox-kafka without its main), by clang, with libFuzzer and the address
# and undefined-behaviour sanitizers.
#
#	make -f test/support/fuzz.mk PG_CONFIG=...	build/fuzz/NAME for each
PG_CONFIG ?= pg_config
CLANG := $(or $(CLANG),$(shell test/support/clang $(PG_CONFIG)))

TARGETS = $(patsubst test/fuzz/%.c,build/fuzz/%,$(wildcard test/fuzz/*.c))
SRC = $(wildcard src/base/*.c src/record/*.c) $(filter-out src/avro/pg_%,$(wildcard src/avro/*.c)) \
	$(filter-out %/main.c,$(wildcard src/outbox-kafka/*.c))
OBJS = $(patsubst src/%.c,build/fuzz/obj/%.o,$(SRC))
HEADERS = $(wildcard src/*.h src/*/*.h test/fuzz/*.h)

SANITIZE = address,undefined -fno-sanitize-recover=undefined
CFLAGS = -g -O1 -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers -Wno-ignored-attributes -fno-omit-frame-pointer $(COPT)
CPPFLAGS = -DFRONTEND -D_GNU_SOURCE -Isrc -Itest -I$(shell $(PG_CONFIG) --includedir-server)
LIBS = -L$(shell $(PG_CONFIG) --pkglibdir) -lpgcommon -lpgport -Wl,--as-needed \
	-lrdkafka -lavro -ljansson -lcurl -lcrypto -lz -lm

all: $(TARGETS)
.SECONDARY:

build/fuzz/obj/%.o: src/%.c $(HEADERS)
	@mkdir -p $(@D)
	$(CLANG) $(CFLAGS) -fsanitize=fuzzer-no-link,$(SANITIZE) $(CPPFLAGS) -pthread -c -o $@ $<

build/fuzz/%: test/fuzz/%.c $(OBJS) $(HEADERS)
	@mkdir -p $(@D)
	$(CLANG) $(CFLAGS) -fsanitize=fuzzer,$(SANITIZE) $(CPPFLAGS) -pthread -o $@ $< $(OBJS) $(LIBS)
