// A tile of an element program: brings in its inputs, runs the steps, and writes its outputs.
namespace tfl {
namespace TFL_INSTRUCTIONS {

// Calls run(number of the kind) for a kind, and run(what is stored, number) for a storage.
template <typename Run>
static inline void with_kind(Kind kind, const Run& run) {
  switch (kind) {
    case Kind::truth:
      return run(truth{});
    case Kind::int32:
      return run(int{});
    case Kind::int64:
      return run(static_cast<long long>(0));
    case Kind::float32:
      return run(float{});
    case Kind::float64:
      return run(double{});
  }
}

template <typename Run>
static inline void with_storage(Storage storage, const Run& run) {
  if (storage == Storage::float16) return run(float16{}, float{});
  if (storage == Storage::bfloat16) return run(bfloat16{}, float{});
  with_kind(kind_of(storage), [&](auto number) { run(number, number); });
}

template <typename T>
static inline T number_from(T x) {
  return x;
}
static inline float number_from(float16 x) { return to_float(x); }
static inline float number_from(bfloat16 x) { return to_float(x); }

template <typename S>
struct Stored {
  template <typename T>
  static inline S of(T x) {
    return x;
  }
};
template <>
struct Stored<float16> {
  static inline float16 of(float x) { return to_float16(x); }
};
template <>
struct Stored<bfloat16> {
  static inline bfloat16 of(float x) { return to_bfloat16(x); }
};

// Where a tile begins, and how far it reaches into rows of the last axis.
struct Place {
  std::array<std::size_t, most_axes> index;
  std::size_t count;
};

// Calls visit(address, first, length) for each stretch of a tile along the last axis.
template <typename Visit>
static inline void stretches(const ElementCall& call, const ElementOperand& operand, Place place,
                             const Visit& visit) {
  if (call.axes == 0) return visit(operand.data, std::size_t{0}, std::size_t{1});
  const std::size_t last = call.axes - 1;
  char* address = operand.data;
  for (std::size_t i = 0; i <= last; ++i)
    address += static_cast<std::ptrdiff_t>(place.index[i]) * operand.strides[i];
  for (std::size_t first = 0; first < place.count;) {
    const std::size_t length =
        std::min(place.count - first, call.shape[last] - place.index[last]);
    visit(address, first, length);
    first += length;
    if (first == place.count) return;
    // The next row: as an odometer counts.
    address -= static_cast<std::ptrdiff_t>(place.index[last]) * operand.strides[last];
    place.index[last] = 0;
    for (std::size_t i = last; i-- > 0;) {
      address += operand.strides[i];
      if (++place.index[i] < call.shape[i]) break;
      address -= static_cast<std::ptrdiff_t>(call.shape[i]) * operand.strides[i];
      place.index[i] = 0;
    }
  }
}

template <typename S, typename T>
static inline void read(const char* from, std::ptrdiff_t stride, std::size_t count, T* to) {
  if (stride == static_cast<std::ptrdiff_t>(sizeof(S))) {
    const S* values = reinterpret_cast<const S*>(from);
#pragma GCC ivdep
    for (std::size_t i = 0; i < count; ++i) to[i] = number_from(values[i]);
  } else if (stride == 0) {
    const T value = number_from(*reinterpret_cast<const S*>(from));
    for (std::size_t i = 0; i < count; ++i) to[i] = value;
  } else {
    for (std::size_t i = 0; i < count; ++i, from += stride)
      to[i] = number_from(*reinterpret_cast<const S*>(from));
  }
}

template <typename S, typename T>
static inline void write(char* to, std::ptrdiff_t stride, std::size_t count, const T* from) {
  if (stride == static_cast<std::ptrdiff_t>(sizeof(S))) {
    S* values = reinterpret_cast<S*>(to);
#pragma GCC ivdep
    for (std::size_t i = 0; i < count; ++i) values[i] = Stored<S>::of(from[i]);
  } else {
    for (std::size_t i = 0; i < count; ++i, to += stride)
      *reinterpret_cast<S*>(to) = Stored<S>::of(from[i]);
  }
}

// One thread's tiles.
class Tiles {
 public:
  explicit Tiles(const ElementCall& call) : call_(call), program_(*call.program) {
    const std::size_t inputs = program_.inputs.size();
    for (std::size_t i = 0; i < inputs; ++i) filled_[i] = 0;
    const std::size_t most = std::min(program_.tile, call.total);
    for (std::size_t i = 0; i < program_.steps.size(); ++i) {
      const ElementStep& step = program_.steps[i];
      if (step.operation != Operation::constant) continue;
      void* room = register_of(inputs + i);
      with_kind(step.kind, [&](auto number) {
        using T = decltype(number);
        T value = static_cast<T>(step.integer);
        if constexpr (std::is_floating_point_v<T>) value = static_cast<T>(step.parameters[0]);
        std::fill_n(static_cast<T*>(room), most, value);
      });
      values_[inputs + i] = room;
    }
  }

  // Computes the elements from `begin` on, in the order of the call's axes, at most a tile of them.
  void compute(std::size_t begin, std::size_t count) {
    place(begin, count);
    const std::size_t inputs = program_.inputs.size();
    for (std::size_t i = 0; i < inputs; ++i) values_[i] = input(i, begin, count);
    void* direct[most_values];
    for (std::size_t i = 0; i < program_.steps.size(); ++i) direct[i] = nullptr;
    for (std::size_t i = 0; i < call_.outputs.size(); ++i)
      direct[program_.outputs[i].value - inputs] = lies_together(call_.outputs[i], begin, count);
    for (std::size_t i = 0; i < program_.steps.size(); ++i) {
      const ElementStep& step = program_.steps[i];
      if (step.operation == Operation::constant) continue;
      void* out = direct[i] ? direct[i] : register_of(inputs + i);
      const void* operands[3];
      for (std::size_t k = 0; k < 3; ++k) operands[k] = values_[step.operands[k]];
      step_loops[static_cast<std::size_t>(step.operation)][static_cast<std::size_t>(step.kind)](
          step, operands, out, count);
      values_[inputs + i] = out;
    }
    for (std::size_t i = 0; i < call_.outputs.size(); ++i) {
      const std::size_t value = program_.outputs[i].value;
      if (!direct[value - inputs] || values_[value] != direct[value - inputs])
        output(call_.outputs[i], values_[value]);
    }
  }

  const void* value(std::size_t number) const { return values_[number]; }

 private:
  void* register_of(std::size_t value) {
    return room_ + program_.registers[value] * register_bytes;
  }

  void place(std::size_t begin, std::size_t count) {
    place_.count = count;
    for (std::size_t i = call_.axes; i-- > 0;) {
      place_.index[i] = begin % call_.shape[i];
      begin /= call_.shape[i];
    }
  }

  // The address of a tile whose elements lie side by side in an array; null elsewhere.
  void* lies_together(const ElementOperand& operand, std::size_t begin, std::size_t count) const {
    if (operand.delayed || operand.storage >= Storage::float16) return nullptr;
    return together(operand, begin, count);
  }

  char* together(const ElementOperand& operand, std::size_t begin, std::size_t count) const {
    const std::size_t size = size_of(operand.storage);
    if (operand.whole) return operand.data + begin * size;
    if (call_.axes == 0) return operand.data;
    const std::size_t last = call_.axes - 1;
    if (operand.strides[last] != static_cast<std::ptrdiff_t>(size) ||
        place_.index[last] + count > call_.shape[last]) {
      return nullptr;
    }
    char* address = operand.data;
    for (std::size_t i = 0; i <= last; ++i)
      address += static_cast<std::ptrdiff_t>(place_.index[i]) * operand.strides[i];
    return address;
  }

  const void* input(std::size_t number, std::size_t begin, std::size_t count) {
    const ElementOperand& operand = call_.inputs[number];
    void* room = register_of(number);
    if (operand.single && filled_[number] >= count) return room;
    char* address = together(operand, begin, count);
    if (address && operand.storage < Storage::float16 && !operand.single) return address;
    with_storage(operand.storage, [&](auto stored, auto kind) {
      using S = decltype(stored);
      using T = decltype(kind);
      T* to = static_cast<T*>(room);
      if (operand.single) {
        read<S>(operand.data, 0, count, to);
        filled_[number] = count;
      } else if (address) {
        read<S>(address, sizeof(S), count, to);
      } else {
        const std::ptrdiff_t stride = call_.axes ? operand.strides[call_.axes - 1] : 0;
        stretches(call_, operand, place_, [&](char* from, std::size_t first, std::size_t length) {
          read<S>(from, stride, length, to + first);
        });
      }
    });
    return room;
  }

  void output(const ElementOperand& operand, const void* value) {
    with_storage(operand.storage, [&](auto stored, auto kind) {
      using S = decltype(stored);
      const auto* from = static_cast<const decltype(kind)*>(value);
      const std::ptrdiff_t stride = call_.axes ? operand.strides[call_.axes - 1]
                                               : static_cast<std::ptrdiff_t>(sizeof(S));
      stretches(call_, operand, place_, [&](char* to, std::size_t first, std::size_t length) {
        write<S>(to, stride, length, from + first);
      });
    });
  }

  const ElementCall& call_;
  const ElementProgram& program_;
  Place place_;
  const void* values_[most_values];
  std::size_t filled_[most_values];  // how many elements of an input's register hold its one number
  alignas(64) unsigned char room_[most_registers * register_bytes];
};

}  // namespace TFL_INSTRUCTIONS
}  // namespace tfl
