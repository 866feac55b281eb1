# Test programs in C: test/unit/*.c and test/avro/*.c, each linked with the
# rooms that programs share (and outbox-kafka without its main), everything
# with the address and undefined-behaviour sanitizers.
#
#	make -f test/support/unit.mk PG_CONFIG=...	build/unit/NAME for each
PG_CONFIG ?= pg_config
SANITIZE ?= -fsanitize=address,undefined -fno-sanitize-recover=undefined

TESTS = $(wildcard test/unit/*.c test/avro/*.c)
PROGRAMS = $(patsubst test/%.c,build/unit/%,$(TESTS))
SRC = $(wildcard src/base/*.c src/record/*.c) $(filter-out src/avro/pg_%,$(wildcard src/avro/*.c)) \
	$(filter-out %/main.c,$(wildcard src/outbox-kafka/*.c))
OBJS = $(patsubst src/%.c,build/unit/obj/%.o,$(SRC))
HEADERS = $(wildcard src/*.h src/*/*.h test/*/*.h)

CFLAGS = -g -O1 -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers -fno-omit-frame-pointer $(SANITIZE) $(COPT)
CPPFLAGS = -DFRONTEND -D_GNU_SOURCE -Isrc -Itest -I$(shell $(PG_CONFIG) --includedir-server)
LIBS = -L$(shell $(PG_CONFIG) --pkglibdir) -lpgcommon -lpgport -Wl,--as-needed \
	-lrdkafka -lavro -ljansson -lcurl -lcrypto -lz -lm

all: $(PROGRAMS)
.SECONDARY:

build/unit/obj/%.o: src/%.c $(HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(CPPFLAGS) -pthread -c -o $@ $<

build/unit/%: test/%.c $(OBJS) $(HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(CPPFLAGS) -pthread -o $@ $< $(OBJS) $(LIBS)
