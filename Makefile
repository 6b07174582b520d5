# The Postgres extension (PGXS): make && make install && make installcheck. CMake builds all else.
EXTENSION = fatwal
MODULE_big = fatwal
DATA = extension/fatwal--0.1.sql
OBJS = $(patsubst %.cpp,%.o,$(sort $(wildcard extension/*.cpp))) \
	wire/src/account.o wire/src/datetime.o wire/src/float.o wire/src/frame.o wire/src/json.o \
	wire/src/jsonb.o wire/src/numeric.o \
	wire/src/row.o wire/src/schema.o wire/src/text.o wire/encoding/logical_message.o

REGRESS = $(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))
REGRESS_OPTS = --inputdir=. --load-extension=fatwal

PG_CONFIG ?= pg_config
PG_CPPFLAGS = -I. -Iwire/include
# The server's headers are not ours to mend: they are read as system headers, from the same folder
# that PGXS names with -I.
PG_CXXFLAGS = -std=c++20 -fno-exceptions -fno-rtti -fvisibility=hidden -Wall -Wextra -Werror \
	-isystem $(shell $(PG_CONFIG) --includedir-server) -Wno-register -Wno-unused-parameter -MMD -MP
# Templates of the standard library would be exported otherwise, whatever the visibility is.
SHLIB_LINK = -Wl,--version-script=extension/exports.map
EXTRA_CLEAN = $(OBJS:.o=.d)

# An output plugin gains nothing from inlining by LLVM.
override with_llvm = no
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

-include $(OBJS:.o=.d)
