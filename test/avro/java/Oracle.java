import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.avro.Resolver;
import org.apache.avro.Schema;
import org.apache.avro.SchemaCompatibility;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;

/**
 * What Java's Avro says, one line of JSON in, one line out.
 *
 * <pre>
 * ["check", NEW, [OLD...]]            per OLD: four characters and a blank: SchemaCompatibility with NEW
 *                                     as the reader, Resolver for the same, then both the other way round;
 *                                     "1" yes, "0" no, "x" it threw, "d" over
 *                                     a default of the writer
 * ["data", READER, WRITER, SEED, N]   "ok" and N values of WRITER in hex, each read back with READER;
 *                                     or "fail" and why
 * </pre>
 */
public class Oracle {
  static final int DEPTH = 6;

  static Schema parse(JsonNode node) {
    return new Schema.Parser().parse(node.toString());
  }

  static char compatible(Schema reader, Schema writer) {
    try {
      return SchemaCompatibility.checkReaderWriterCompatibility(reader, writer)
          .getType() == SchemaCompatibility.SchemaCompatibilityType.COMPATIBLE ? '1' : '0';
    } catch (RuntimeException e) {
      return 'x';
    }
  }

  /** Whether reading can fail anywhere: errors are leaves of the tree of actions. */
  static boolean failing(Resolver.Action action, Map<Resolver.Action, Boolean> seen) {
    if (action instanceof Resolver.ErrorAction)
      return true;
    if (seen.put(action, true) != null)
      return false;
    if (action instanceof Resolver.Container)
      return failing(((Resolver.Container) action).elementAction, seen);
    if (action instanceof Resolver.ReaderUnion)
      return failing(((Resolver.ReaderUnion) action).actualAction, seen);
    Resolver.Action[] inner = {};
    if (action instanceof Resolver.WriterUnion)
      inner = ((Resolver.WriterUnion) action).actions;
    if (action instanceof Resolver.RecordAdjust)
      inner = ((Resolver.RecordAdjust) action).fieldActions;
    for (Resolver.Action a : inner)
      if (failing(a, seen))
        return true;
    if (action instanceof Resolver.EnumAdjust)
      for (int index : ((Resolver.EnumAdjust) action).adjustments)
        if (index < 0)
          return true;
    return false;
  }

  static char resolves(Schema reader, Schema writer) {
    try {
      Resolver.Action action = Resolver.resolve(Schema.applyAliases(writer, reader), reader);
      return failing(action, new IdentityHashMap<>()) ? '0' : '1';
    } catch (RuntimeException e) {
      // it renames types and fields, and then finds the writer's own defaults to be wrong
      String why = String.valueOf(e.getMessage());
      return why.startsWith("Invalid default") || why.equals("Schema fields not set yet") ? 'd' : 'x';
    }
  }

  static String check(JsonNode ask) {
    StringBuilder out = new StringBuilder();
    Schema latest = parse(ask.get(1));
    for (JsonNode node : ask.get(2)) {
      Schema old = parse(node);
      out.append(compatible(latest, old)).append(resolves(latest, old));
      out.append(compatible(old, latest)).append(resolves(old, latest)).append(' ');
    }
    return out.toString().trim();
  }

  /** Texts of ASCII alone, so that bytes can be read as string. */
  static String text(Random random, int length) {
    StringBuilder s = new StringBuilder();
    for (int i = 0; i < length; i++)
      s.append((char) ('a' + random.nextInt(26)));
    return s.toString();
  }

  static final Object NONE = new Object();

  /** A value of the schema, or NONE if there is none of that depth. */
  static Object make(Schema schema, Random random, int depth) {
    switch (schema.getType()) {
    case NULL:
      return null;
    case BOOLEAN:
      return random.nextBoolean();
    case INT:
      return random.nextInt();
    case LONG:
      return random.nextLong();
    case FLOAT:
      return random.nextFloat();
    case DOUBLE:
      return random.nextDouble();
    case STRING:
      return text(random, random.nextInt(5));
    case BYTES:
      return ByteBuffer.wrap(text(random, random.nextInt(5)).getBytes(StandardCharsets.US_ASCII));
    case FIXED:
      return new GenericData.Fixed(schema, text(random, schema.getFixedSize()).getBytes(StandardCharsets.US_ASCII));
    case ENUM:
      List<String> symbols = schema.getEnumSymbols();
      return symbols.isEmpty() ? NONE : new GenericData.EnumSymbol(schema, symbols.get(random.nextInt(symbols.size())));
    case ARRAY: {
      List<Object> list = new ArrayList<>();
      for (int n = depth <= 0 ? 0 : random.nextInt(3); n > 0; n--) {
        Object item = make(schema.getElementType(), random, depth - 1);
        if (item != NONE)
          list.add(item);
      }
      return new GenericData.Array<>(schema, list);
    }
    case MAP: {
      Map<String, Object> map = new HashMap<>();
      for (int n = depth <= 0 ? 0 : random.nextInt(3); n > 0; n--) {
        Object value = make(schema.getValueType(), random, depth - 1);
        if (value != NONE)
          map.put(text(random, 2), value);
      }
      return map;
    }
    case UNION: {
      int n = schema.getTypes().size();
      int first = random.nextInt(n);
      for (int i = 0; i < n; i++) {
        Object value = make(schema.getTypes().get((first + i) % n), random, depth - 1);
        if (value != NONE)
          return value;
      }
      return NONE;
    }
    default: {
      if (depth <= 0 && !schema.getFields().isEmpty())
        return NONE;
      GenericData.Record record = new GenericData.Record(schema);
      for (Schema.Field field : schema.getFields()) {
        Object value = make(field.schema(), random, depth - 1);
        if (value == NONE)
          return NONE;
        record.put(field.pos(), value);
      }
      return record;
    }
    }
  }

  static String data(JsonNode ask) {
    Schema reader = parse(ask.get(1));
    Schema writer = parse(ask.get(2));
    Random random = new Random(ask.get(3).asLong());
    StringBuilder out = new StringBuilder("ok");
    for (int n = ask.get(4).asInt(); n > 0; n--) {
      Object value = make(writer, random, DEPTH);
      if (value == NONE)
        continue;
      ByteArrayOutputStream bytes = new ByteArrayOutputStream();
      BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(bytes, null);
      try {
        new GenericDatumWriter<>(writer).write(value, encoder);
        encoder.flush();
        var decoder = DecoderFactory.get().binaryDecoder(bytes.toByteArray(), null);
        new GenericDatumReader<>(writer, reader).read(null, decoder);
        if (!decoder.isEnd())
          return "fail bytes are left over";
      } catch (IOException | RuntimeException e) {
        return "fail " + e + " " + value;
      }
      out.append(' ');
      for (byte b : bytes.toByteArray())
        out.append(String.format("%02x", b));
      if (bytes.size() == 0)
        out.append('-');
    }
    return out.toString();
  }

  public static void main(String[] args) throws IOException {
    ObjectMapper mapper = new ObjectMapper();
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    for (String line; (line = in.readLine()) != null;) {
      String answer;
      try {
        JsonNode ask = mapper.readTree(line);
        answer = ask.get(0).asText().equals("data") ? data(ask) : check(ask);
      } catch (RuntimeException e) {
        answer = "error " + e;
      }
      out.println(answer.replace('\n', ' '));
      if (!in.ready())
        out.flush();
    }
    out.flush();
  }
}
