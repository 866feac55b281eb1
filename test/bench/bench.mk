# The benchmark's programs, linked like outbox-kafka.
#
#	make -f test/bench/bench.mk PG_CONFIG=...	build/bench/NAME for each
PG_CONFIG ?= pg_config

PROGRAMS = $(patsubst test/bench/%.c,build/bench/%,$(wildcard test/bench/*.c))
SRC = $(wildcard src/base/*.c src/record/*.c)
HEADERS = $(wildcard src/*/*.h)

CFLAGS = -g -O2 -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers $(COPT)
CPPFLAGS = -DFRONTEND -D_GNU_SOURCE -Isrc -I$(shell $(PG_CONFIG) --includedir) \
	-I$(shell $(PG_CONFIG) --includedir-server)
LIBS = -L$(shell $(PG_CONFIG) --pkglibdir) -lpgcommon -lpgport -Wl,--as-needed \
	-lrdkafka -lpq -lcrypto -lm

all: $(PROGRAMS)

build/bench/%: test/bench/%.c $(SRC) $(HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(CPPFLAGS) -pthread -o $@ $< $(SRC) $(LIBS)
