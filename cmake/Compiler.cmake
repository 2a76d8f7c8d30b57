# Warnings, sanitizers, ccache and the helper that makes a library of a folder.
if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release)
endif()

add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Werror)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # gcc 12 reports these inside of libstdc++ and Boost when it inlines across them (GCC bugs 105562, 107852).
    add_compile_options(-Wno-maybe-uninitialized -Wno-mismatched-new-delete -Wno-stringop-overflow -Wno-stringop-overread -Wno-restrict -Wno-array-bounds)
endif()
add_compile_options(-fstack-protector-strong -fno-omit-frame-pointer)
set(CMAKE_CXX_FLAGS_DEBUG "-g1 -O1")
if(USHER_SANITIZE)
    # The optimizer costs more time over instrumented code than the tests then save.
    set(CMAKE_CXX_FLAGS_DEBUG "-g1 -O0")
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-g1 -O2")
if(CMAKE_BUILD_TYPE STREQUAL "Release")
    add_compile_definitions(_FORTIFY_SOURCE=2)
endif()
add_link_options(-Wl,-z,relro,-z,now -Wl,--as-needed)

if(USHER_SANITIZE)
    add_compile_options(-fsanitize=${USHER_SANITIZE} -fno-sanitize-recover=all)
    add_link_options(-fsanitize=${USHER_SANITIZE})
    if(USHER_SANITIZE MATCHES "address")
        # What the undefined behaviour sanitizer knows of each place in the code is 100 MB of pointers, which a
        # position-independent program relocates at every start: half of the time of a short command.
        add_link_options(-no-pie)
    endif()
    if(USHER_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
        # ThreadSanitizer has no model of std::atomic_thread_fence; Asio uses one, and stays correct without being seen.
        add_compile_options(-Wno-tsan)
    endif()
endif()
if(USHER_FUZZ)
    add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
    add_link_options(-fsanitize=address,undefined)
endif()

if(USHER_SANITIZE OR USHER_FUZZ)
    # These programs are 200 MB each: the linker that comes with the compiler takes ten times as long.
    find_program(USHER_MOLD mold)
    if(USHER_MOLD)
        add_link_options(-fuse-ld=mold)
    endif()
endif()

find_program(USHER_CCACHE ccache)
if(USHER_CCACHE)
    set(CMAKE_CXX_COMPILER_LAUNCHER
        ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
        CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${USHER_CCACHE})
endif()

# usher_library(NAME FOLDER...): a static library of every .cpp directly in the folders.
# base/sql and audit/journal belong to their parents; main.cpp belongs to no library.
function(usher_library name)
    set(sources)
    foreach(folder IN LISTS ARGN)
        file(GLOB found CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${folder}/*.cpp)
        if(folder STREQUAL "base")
            file(GLOB more CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/base/sql/*.cpp)
            list(APPEND found ${more})
        elseif(folder STREQUAL "audit")
            file(GLOB more CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/audit/journal/*.cpp)
            list(APPEND found ${more})
        endif()
        list(FILTER found EXCLUDE REGEX "/main\\.cpp$")
        list(APPEND sources ${found})
    endforeach()
    if(NOT sources)
        file(WRITE ${CMAKE_BINARY_DIR}/empty_${name}.cpp "")
        set(sources ${CMAKE_BINARY_DIR}/empty_${name}.cpp)
    endif()
    add_library(${name} STATIC ${sources})
    target_include_directories(${name} PUBLIC ${CMAKE_SOURCE_DIR})
endfunction()

# usher_precompile(TARGET [asio] [grpc] [cli] [HEADER...]): headers that nearly every file of the target reads, parsed once.
# The preset dev builds without, so that a missing #include is seen.
function(usher_precompile target)
    if(NOT USHER_PCH)
        return()
    endif()
    set(headers <algorithm> <array> <atomic> <chrono> <cstdint> <cstring> <functional> <map> <memory> <mutex> <optional> <set> <span>
                <string> <string_view> <thread> <unordered_map> <utility> <variant> <vector>)
    foreach(wanted IN LISTS ARGN)
        if(wanted STREQUAL "asio")
            list(APPEND headers <boost/asio/as_tuple.hpp> <boost/asio/awaitable.hpp> <boost/asio/co_spawn.hpp> <boost/asio/detached.hpp>
                 <boost/asio/experimental/awaitable_operators.hpp> <boost/asio/io_context.hpp> <boost/asio/ip/tcp.hpp>
                 <boost/asio/post.hpp> <boost/asio/steady_timer.hpp> <boost/asio/use_awaitable.hpp>)
        elseif(wanted STREQUAL "proto")
            list(APPEND headers <google/protobuf/message.h>
                 <google/protobuf/timestamp.pb.h>)
        elseif(wanted STREQUAL "grpc")
            list(APPEND headers <grpcpp/grpcpp.h> <google/protobuf/timestamp.pb.h>)
        elseif(wanted STREQUAL "cli")
            list(APPEND headers <CLI/CLI.hpp>)
        else()
            list(APPEND headers ${wanted})
        endif()
    endforeach()
    list(REMOVE_DUPLICATES headers)
    target_precompile_headers(${target} PRIVATE ${headers})
endfunction()
